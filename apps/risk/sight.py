"""What a caller may see at risk: its own account; with the scope risk or audit every account."""

from typing import Any, Final

from apps.http.caller import Caller
from domain.access.scopes import EVERY_ACCOUNT, AccessScope, bits

_OF_ALL: Final = bits(AccessScope.AUDIT, AccessScope.RISK)

View = dict[str, Any]


def sees(caller: Caller, account: str) -> bool:
    """Return whether the caller may read this account's limits, portfolio and decisions; with `*`, those of every account."""
    return caller.account in (account, EVERY_ACCOUNT) or bool(caller.mask & _OF_ALL)


def without_others(view: View, account: str) -> View:
    """Return a view of limits without the kills of other accounts."""
    killed = [kill for kill in view["killed"] if kill["scope"] == f"account:{account}" or not kill["scope"].startswith("account:")]
    return view | {"killed": killed}
