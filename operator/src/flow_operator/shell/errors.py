"""What can go wrong at the API server: one class a cause, so that callers never compare numbers."""


class ClusterError(Exception):
    """The API server did not do what it was asked. The message is the server's own words."""


class ConflictError(ClusterError):
    """The object has changed, or is another one of the same name. Read it and decide again."""


class AlreadyExistsError(ClusterError):
    """An object of that name is there already."""


class NotFoundError(ClusterError):
    """There is no such object."""


class NamespaceGoneError(ClusterError):
    """The namespace does not exist, or is on its way out: nothing can be created in it."""


class InvalidError(ClusterError):
    """The object can never be created like this."""


class AdmissionDeniedError(ClusterError):
    """A quota, a policy or a webhook does not let the object in; it may at another time."""


class ForbiddenError(ClusterError):
    """The operator itself is not allowed to: its RBAC rules are incomplete."""


class NotLeaderError(ClusterError):
    """Nothing was written: another process leads, or may lead by now."""


class UnavailableError(ClusterError):
    """No usable answer: the network, an overloaded or broken server. Worth another try.

    Attributes:
        retry_after: How many seconds to wait at least, if the server said so.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
