"""How the operator holds out: storms of due schedules, large numbers, failures, and time."""
