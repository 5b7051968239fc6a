"""The executor of the only shard, as the routes of exeq ask for it."""

from apps.exeq.executor import Executor


class OneExecutor:
    """Every account and every order is of this executor."""

    def __init__(self, executor: Executor) -> None:
        self.executors = (executor,)

    def of(self, account: str) -> Executor:
        return self.executors[0]

    def of_id(self, order_id: str) -> Executor:
        return self.executors[0]
