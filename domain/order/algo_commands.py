"""Commands to parents, in the imperative. `order_id` is the parent's id."""

from decimal import Decimal

from domain.order.algo import AlgoParams, AlgoTerms, SliceInputs
from domain.order.command import ClientCommand, ExeqCommand, RiskDecision
from domain.order.legs import Candidate
from domain.values import OrderType, TimeInForce


class SubmitAlgo(ClientCommand, frozen=True, kw_only=True, tag="submit_algo", gc=False):
    terms: AlgoTerms
    decision: RiskDecision
    arrival: Candidate | None = None


class SpawnChild(ExeqCommand, frozen=True, kw_only=True, tag="spawn_child", gc=False):
    """Record slice `n` and submit its child; with the quantity 0 there is none, and `reason` says why.

    A second request for the same `n` is answered like the first. `version`: the parent's, when the slice was decided; of another one it is
    refused, because its terms may have changed. `decision` is risk's on the child; oms adds it.
    """

    version: int
    n: int
    due_at: int
    inputs: SliceInputs
    target: Decimal | None = None
    quantity: Decimal
    order_type: OrderType = OrderType.LIMIT
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reason: str = ""
    decision: RiskDecision | None = None


class PauseAlgo(ExeqCommand, frozen=True, kw_only=True, tag="pause_algo", gc=False):
    """From a client (`by`), exeq, or oms itself. `keeps_child`: the open child is not cancelled."""

    by: str = ""
    source: str = "exeq"
    reason: str
    keeps_child: bool = False


class ResumeAlgo(ExeqCommand, frozen=True, kw_only=True, tag="resume_algo", gc=False):
    by: str = ""
    source: str = "exeq"
    reason: str = ""


class AmendAlgo(ClientCommand, frozen=True, kw_only=True, tag="amend_algo", gc=False):
    """The terms that the parent should have from now on, all of them. `decision`: risk's, if they may weigh more."""

    quantity: Decimal
    limit_price: Decimal | None = None
    end_at: int | None = None
    params: AlgoParams
    decision: RiskDecision | None = None


class CancelAlgo(ClientCommand, frozen=True, kw_only=True, tag="cancel_algo", gc=False):
    """A client cancels the parent, or a control ends it: `reason` is then killed or symbol_blocked."""

    source: str = "client"
    reason: str = "cancelled"


class EndAlgo(ExeqCommand, frozen=True, kw_only=True, tag="end_algo", gc=False):
    """The time of the parent is over, or nothing can follow any more. What has not traded by then is given up."""

    source: str = "exeq"
    reason: str = "expired"


AlgoCommand = SubmitAlgo | SpawnChild | PauseAlgo | ResumeAlgo | AmendAlgo | CancelAlgo | EndAlgo
AlgoServiceCommand = SpawnChild | PauseAlgo | ResumeAlgo | EndAlgo
"""The commands to parents that exeq sends."""
