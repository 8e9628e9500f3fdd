"""What can go wrong before a run starts; everything else is the run's own ending."""


class ClientError(Exception):
    """Something that the user can put right; the message says what and how."""


class ManifestError(ClientError):
    """A manifest cannot be read, or the API server would refuse it."""


class UnsupportedError(ClientError):
    """A Pod asks for something that only a cluster has."""
