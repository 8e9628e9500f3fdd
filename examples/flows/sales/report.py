"""A flow with typed parameters, a helper module and data beside it."""

import csv
from datetime import date
from typing import Literal

from rates import EURO

Currency = Literal["EUR", "USD", "GBP"]


def main(day: date, currency: Currency = "EUR", minimum: float = 0.0) -> dict:
    """Sums the sales of a day. `day` arrives as a date, because the annotation asks for one."""
    with open("sales.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if date.fromisoformat(row["day"]) == day]
    total = 0.0
    for row in rows:
        amount = float(row["euro"]) * EURO[currency]
        if amount >= minimum:
            print(f"{row['shop']:<10} {amount:>9.2f} {currency}")
            total += amount
    print(f"{'total':<10} {total:>9.2f} {currency}")
    return {"day": str(day), "currency": currency, "total": round(total, 2)}
