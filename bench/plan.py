"""Compute what labeling many rows takes from a measured rate: cores, hours, cost, bytes.

    python bench/plan.py                                   # the tables of docs/scale.md
    python bench/plan.py --rate 300 --price 0.02 --rows 5e8 --distinct 0.4
"""

import argparse
from dataclasses import dataclass

SECONDS = 3600


@dataclass(frozen=True)
class Plan:
    """A job and the cost of its machines."""

    rows: float
    distinct: float
    """The share of rows that must be classified: those whose text is not cached on their machine."""
    rate: float
    """Texts per second and core."""
    price: float
    """The price of a core-hour."""

    @property
    def core_hours(self) -> float:
        return self.rows * self.distinct / self.rate / SECONDS

    @property
    def cost(self) -> float:
        return self.core_hours * self.price

    def hours(self, cores: int) -> float:
        return self.core_hours / cores


def time(hours: float) -> str:
    for unit, length in (("years", 8766), ("days", 24), ("hours", 1)):
        if hours >= length:
            return f"{hours / length:,.1f} {unit}"
    return f"{hours * 60:,.1f} minutes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, nargs="+", default=[96.6, 131.7], help="measured texts per second and core")
    parser.add_argument("--rows", type=float, nargs="+", default=[1e9, 1e12])
    parser.add_argument("--price", type=float, default=0.04, help="of a core-hour")
    parser.add_argument("--distinct", type=float, default=1.0, help="share of rows whose text is not cached")
    parser.add_argument("--bytes", type=float, default=41, help="of the text of a row in a compressed file")
    parser.add_argument("--cores", type=int, nargs="+", default=[16, 256, 4096, 65536])
    args = parser.parse_args()
    if min([*args.rate, *args.rows, *args.cores, args.price, args.distinct, args.bytes]) <= 0 or args.distinct > 1:
        parser.error("all figures must be above 0, and the share at most 1")

    cores = [f"{cores:,} cores" for cores in args.cores]
    print(f"| rows | texts/s per core | core-hours | cost | {' | '.join(cores)} |")
    print("|---" * (4 + len(cores)) + "|")
    for rows in args.rows:
        for rate in args.rate:
            plan = Plan(rows, args.distinct, rate, args.price)
            times = " | ".join(time(plan.hours(cores)) for cores in args.cores)
            print(f"| {rows:.0e} | {rate:g} | {plan.core_hours:,.0f} | {plan.cost:,.0f} | {times} |")

    print(f"\n| cores | texts/s | MB/s read | {' | '.join(f'{rows:.0e} rows: TB' for rows in args.rows)} |")
    print("|---" * (3 + len(args.rows)) + "|")
    size = " | ".join(f"{rows * args.bytes / 1e12:,.2f}" for rows in args.rows)
    for count in args.cores:
        texts = count * max(args.rate) / args.distinct
        print(f"| {count:,} | {texts:,.0f} | {texts * args.bytes / 1e6:,.1f} | {size} |")


if __name__ == "__main__":
    main()
