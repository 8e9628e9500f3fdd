"""The git source: find out the commit, and check it out from one stream."""

from __future__ import annotations

from flow_fetcher.errors import FetchError, RevisionNotFoundError
from flow_fetcher.record import Record
from flow_fetcher.sources import Fetch
from flow_fetcher.sources.git.auth import WANTED_KEYS, authorization
from flow_fetcher.sources.git.http import Server, Timeouts
from flow_fetcher.sources.git.pktline import RemoteError
from flow_fetcher.sources.git.protocol import Remote
from flow_fetcher.sources.git.smart import SmartHTTP
from flow_fetcher.sources.git.spec import HEAD, GitSpec
from flow_fetcher.sources.git.suggest import suggestion
from flow_fetcher.sources.git.transport import Transport

TIMEOUTS = Timeouts()


class GitSource(Record):
    """One repository, as the plan describes it."""

    spec: GitSpec

    @property
    def wanted_keys(self) -> str:
        """The keys of a Secret that it can use."""
        if self.spec.ssh is None:
            return WANTED_KEYS
        from flow_fetcher.sources.git.sshkeys import WANTED_KEYS as SSH_KEYS

        return SSH_KEYS

    def fetch(self, fetch: Fetch) -> str:
        """Write the tree of the wanted commit and return its name.

        Raises:
            FetchError: It cannot be done.
        """
        transport = self._transport(fetch)
        remote = Remote(transport, fetch.log)
        try:
            commit, label = self._resolve(remote, fetch)
            fetch.report.revision = commit
            with fetch.report.stage("fetch"):
                revision = self._check_out(remote, fetch, commit, label)
        except RemoteError as error:
            raise FetchError(
                f"{self.spec.url} refuses: {error.message}", remedy="Look at the git server's log."
            ) from error
        finally:
            transport.close()
        fetch.report.revision = revision
        return revision

    def _check_out(self, remote: Remote, fetch: Fetch, commit: str, label: str) -> str:
        chunks = remote.pack(commit, label, blobs=not self.spec.directories)
        from flow_fetcher.sources.git.checkout import Checkout
        from flow_fetcher.sources.git.pack import Scratch
        from flow_fetcher.sources.git.scope import Scope

        scope = Scope(self.spec.directories) if self.spec.directories else None
        scratch = Scratch(fetch.scratch)
        with Checkout(commit, label, fetch.tree, scratch, fetch.log, scope=scope) as checkout:
            checkout.read(chunks)
            if scope and (missing := checkout.missing()):
                for others in remote.objects(missing, commit, label):
                    checkout.read(others)
            return checkout.complete()

    def _transport(self, fetch: Fetch) -> Transport:
        credentials, received = fetch.credentials, fetch.progress.received
        if self.spec.ssh is None:
            header = authorization(self.spec, credentials)
            server = Server(self.spec, credentials, header, fetch.log, TIMEOUTS, meanwhile=_prepare)
            return SmartHTTP(server, received)
        from flow_fetcher.sources.git.ssh import SSH
        from flow_fetcher.sources.git.sshkeys import require_keys

        require_keys(credentials, self.spec.ssh)
        return SSH(self.spec, credentials, fetch.log, received, TIMEOUTS)

    def _resolve(self, remote: Remote, fetch: Fetch) -> tuple[str, str]:
        """The commit, and what to call it in messages."""
        if self.spec.commit:
            return self.spec.commit, f"commit {self.spec.commit}"
        ref = self.spec.ref or HEAD
        with fetch.report.stage("resolve"):
            refs, peeled = remote.refs(ref.name)
            commit = peeled.get(ref.name) or refs.get(ref.name)
            if commit is None:
                known, _ = remote.refs("refs/heads/", "refs/tags/")
                raise RevisionNotFoundError(
                    f"{self.spec.url} has no {ref.label}" + suggestion(ref.name, known),
                    remedy="Correct spec.source.git.ref, or push what it names.",
                )
        seconds = fetch.report.seconds()["resolve"]
        fetch.log.info(f"{ref.label} of {self.spec.url} is {commit} ({seconds:.3f} s)")
        return commit, f"{ref.label} ({commit})"


def _prepare() -> None:
    """Import what turns an answer into files, while the server makes the answer."""
    import flow_fetcher.sources.git.checkout  # noqa: F401
