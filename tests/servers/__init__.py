"""Real servers on loopback, for tests, benchmarks and the demo: each starts within a second."""
