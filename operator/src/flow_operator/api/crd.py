"""The CustomResourceDefinitions, as objects."""

from dataclasses import dataclass
from typing import Any

from flow_operator.api.schema import schema_of
from flow_operator.api.v1alpha1 import GROUP, VERSION, FlowDeployment, FlowRun
from flow_operator.api.v1alpha1.meta import Model


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`; `priority` 1 shows it with `-o wide` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    priority: int = 0

    def to_manifest(self) -> dict[str, Any]:
        """Return the entry of `additionalPrinterColumns`."""
        return {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.path,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True)
class Kind:
    """What a CustomResourceDefinition says beside the schema."""

    model: type[Model]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The kind itself."""
        return self.model.__name__

    @property
    def crd_name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"

    def to_manifest(self) -> dict[str, Any]:
        """Return the CustomResourceDefinition."""
        version: dict[str, Any] = {
            "name": VERSION,
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [column.to_manifest() for column in self.columns],
        }
        if self.selectable:
            version["selectableFields"] = [{"jsonPath": path} for path in self.selectable]
        version["schema"] = {"openAPIV3Schema": schema_of(self.model)}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": self.crd_name,
                "labels": {"app.kubernetes.io/part-of": "flow-operator"},
            },
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {
                    "kind": self.name,
                    "listKind": f"{self.name}List",
                    "plural": self.plural,
                    "singular": self.name.lower(),
                    "shortNames": [self.short_name],
                    "categories": ["flow"],
                },
                "versions": [version],
            },
        }


AGE = Column(
    "Age", ".metadata.creationTimestamp", "How long ago the object was created.", type="date"
)

FLOW_DEPLOYMENT = Kind(
    model=FlowDeployment,
    plural="flowdeployments",
    short_name="fd",
    columns=(
        Column(
            "Ready",
            ".status.conditions[?(@.type=='Ready')].status",
            "Whether the definition is valid and accepted.",
        ),
        Column("Source", ".status.source", "Where the code is."),
        Column(
            "Entrypoint",
            ".spec['entrypoint','command']",
            "The function, or the command, that is run.",
        ),
        Column("Schedule", ".status.schedule", "When it runs by itself."),
        Column(
            "Last Run",
            ".status.lastRun.startTime",
            "How long ago the newest run started.",
            type="date",
        ),
        Column("Last Status", ".status.lastRun.phase", "Phase of the newest run."),
        AGE,
        Column("Suspended", ".spec.suspend", "Whether it is suspended.", "boolean", 1),
        Column(
            "Reason",
            ".status.conditions[?(@.type=='Ready')].reason",
            "Why it is ready or not.",
            priority=1,
        ),
        Column("Next", ".status.nextScheduleTime", "The next tick of its schedules.", priority=1),
        Column("Run", ".status.lastRun.name", "Name of the newest run.", priority=1),
        Column("Revision", ".status.lastRun.revision", "Revision of the newest run.", priority=1),
    ),
)

FLOW_RUN = Kind(
    model=FlowRun,
    plural="flowruns",
    short_name="fr",
    columns=(
        Column("Deployment", ".spec.deploymentRef.name", "The FlowDeployment that is run."),
        Column("Phase", ".status.phase", "Where the run is."),
        Column("Revision", ".status.revision", "What was fetched."),
        Column("Started", ".status.startTime", "How long ago the run was taken up.", type="date"),
        Column("Duration", ".status.duration", "How long the run took."),
        Column(
            "Reason",
            ".status.conditions[?(@.type=='Succeeded')].reason",
            "Why the run is where it is.",
            priority=1,
        ),
        Column(
            "Message",
            ".status.conditions[?(@.type=='Succeeded')].message",
            "The same in words.",
            priority=1,
        ),
        Column("Trigger", ".spec.trigger.type", "Why the run exists.", priority=1),
        Column("Scheduled", ".spec.trigger.scheduledTime", "The tick that it is for.", priority=1),
    ),
    selectable=(".spec.deploymentRef.name",),
)

KINDS = (FLOW_DEPLOYMENT, FLOW_RUN)
