"""What the ledger refuses, by whose doing it is."""


class LedgerError(Exception):
    """The ledger will not do this; nothing was changed."""


class WalletNotFound(LedgerError):
    """There is no such wallet."""


class InvalidAmount(LedgerError):
    """The amount is zero, has the wrong sign for its type, or takes the balance beyond `money.MAX_NANOS`."""


class InsufficientFunds(LedgerError):
    """The wallet would go below its overdraft."""

    def __init__(self, balance_nanos: int, overdraft_nanos: int, amount_nanos: int) -> None:
        super().__init__(f"balance {balance_nanos}, overdraft {overdraft_nanos}, amount {amount_nanos} nano-dollars")
        self.balance_nanos = balance_nanos
        self.overdraft_nanos = overdraft_nanos
        self.amount_nanos = amount_nanos
