"""What one euro is worth."""

EURO = {"EUR": 1.0, "USD": 1.16, "GBP": 0.88}
