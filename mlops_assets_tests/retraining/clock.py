"""A toy flow whose trainings the real condition asks for: real tables, real runs, a hand on the clock.

Its stages do nothing but say what they would have made; what decides, writes down and claims is real.
"""
# Dagster takes an asset's context only with an annotation that is not a string.

import datetime as dt
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from mlops_assets.automation.conditions import DATA_VERSION_TAG, following_condition
from mlops_assets.lifecycle.describe import asset_key
from mlops_assets.lifecycle.lineage import MANIFEST, latest
from mlops_assets.lifecycle.partitions import partitions_def
from mlops_assets.project import Project, Retraining
from mlops_assets.resources.promotions import PromotionLog
from mlops_assets.retraining.condition import features_condition, retraining_condition
from mlops_assets.retraining.reading import AUTOMATION_TAG, ROWS, FeaturesReader, trained_on
from mlops_assets.retraining.reasons import Reason, claim, read_reason
from mlops_assets.retraining.table import Awaited, Training, Trainings, engine_for
from mlops_assets_tests.automation import toy

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR = dt.timedelta(hours=1)
POLICY = Retraining(cool_down=HOUR, trainings_per_day=4)


def project(**changes: Any) -> Project:
    """Monthly, without families (nothing is fitted), of a name of its own."""
    changes = {"retraining": POLICY, "name": f"toy_{secrets.token_hex(3)}", **changes}
    return toy.project().model_copy(update=changes)


@dataclass
class Clock:
    """Evaluates the conditions tick by tick, and does what they ask for."""

    project: Project
    url: str
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)
    now: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    cursor: Any = None
    accepts: bool = True
    """Whether the gate lets challengers pass."""
    breaks: str = ""
    """The stage whose run fails."""
    ticking: bool = True
    """Whether this clock ticks itself: automation's first tick is the one before there is any data."""

    def __post_init__(self) -> None:
        self.load()
        if self.ticking:
            self.tick()

    def load(self) -> None:
        """As if the code location were started anew."""
        self.defs = dg.Definitions(_assets(self))

    @property
    def trainings(self) -> Trainings:
        return Trainings(engine_for(self.url), self.project.name)

    @property
    def log(self) -> PromotionLog:
        return PromotionLog(engine_for(self.url))

    def upload(self, month: str, content: str = "a", rows: int = 100, code: str | None = None) -> None:
        """As if features of ``month`` were built, with ``content`` for their data version."""
        tags = {DATA_VERSION_TAG: content} | ({"dagster/code_version": code} if code else {})
        self.report(
            dg.AssetMaterialization(self.key("features"), partition=month, tags=tags, metadata={ROWS: rows})
        )

    def check(self, stage: str, name: str, *, passed: bool, about: str, **metadata: str) -> None:
        """As if the watching assets had judged the champion ``about``."""
        told = {"champion": about, "observed": "5 of 19 columns moved", "allowed": "3", **metadata}
        self.report(
            dg.AssetCheckEvaluation(asset_key=self.key(stage), check_name=name, passed=passed, metadata=told)
        )

    def drift(self, about: str, *, passed: bool = False) -> None:
        self.check("drift", "feature_drift", passed=passed, about=about)

    def stale_champion(self) -> None:
        """As Dagster's freshness daemon says it."""
        at = max(self.now, dt.datetime.now(dt.UTC)).timestamp()
        change = FreshnessStateChange(
            key=self.key("champion"),
            previous_state=FreshnessState.PASS,
            new_state=FreshnessState.FAIL,
            state_change_timestamp=at,
        )
        self.report(change)

    def report(self, event: Any) -> None:
        self.instance.report_runless_asset_event(event)

    def ask(self) -> set[str]:
        """One tick of automation: the stages that are asked for."""
        result = dg.evaluate_automation_conditions(
            self.defs, self.instance, cursor=self.cursor, evaluation_time=self.now
        )
        self.cursor = result.cursor
        stages = ("features", "training_set", "champion")
        return {stage for stage in stages if result.get_num_requested(self.key(stage))}

    def tick(self, after: dt.timedelta = dt.timedelta(seconds=1)) -> bool:
        """One tick, ``after`` the last; whether a training was asked for, which is done then."""
        self.now += after
        asked = self.ask()
        if "training_set" in asked:
            assert asked >= {"training_set", "champion"}
            self.train(by_hand=False)
            return True
        return False

    def rest(self) -> None:
        """Ticks that ask for nothing, in which Dagster sees what was done."""
        for _ in range(2):
            assert not self.tick()

    def ticks(self, count: int, every: dt.timedelta) -> int:
        """How many trainings ``count`` ticks led to."""
        return sum(self.tick(every) for _ in range(count))

    def train(self, *, by_hand: bool = True, tags: "Mapping[str, str] | None" = None) -> str:
        """A run of all stages from the training set; its id."""
        told = {**(tags or {}), **({} if by_hand else {AUTOMATION_TAG: "true"})}
        keys = [self.key("training_set"), self.key("champion")]
        job = self.defs.get_repository_def().get_implicit_job_def_for_assets(keys)
        assert job is not None
        result = job.execute_in_process(
            instance=self.instance, asset_selection=keys, tags=told, raise_on_error=False
        )
        return result.run_id

    def begin(self, *stages: str, by_hand: bool = True, partition: str = "") -> dg.DagsterRun:
        """A run that makes ``stages`` is under way."""
        told = {} if by_hand else {AUTOMATION_TAG: "true"}
        return self.instance.create_run_for_job(
            self.defs.resolve_implicit_global_asset_job_def(),
            status=dg.DagsterRunStatus.STARTED,
            asset_selection=frozenset(self.key(stage) for stage in stages),
            tags={"dagster/partition": partition} if partition else told,
        )

    def key(self, stage: str) -> dg.AssetKey:
        return asset_key(self.project, stage)

    def reason(self) -> Reason:
        """Why the last training set was made."""
        return read_reason(self.instance, self.project)

    def rows(self) -> list[Training]:
        """The trainings written down, oldest first."""
        return self.trainings.rows()[::-1]

    def awaited(self) -> Awaited:
        found = self.trainings.awaited()
        assert found is not None
        return found

    def trained(self) -> dict[str, str]:
        """Month -> content, of what the last training had."""
        return trained_on(self.instance, self.project)

    def champion(self) -> str | None:
        last = next(self.log.entries(self.project.name), None)
        return None if last is None or last.kind == "retirement" else last.version

    def promote(self, kind: str = "promotion", version: str | None = None, run: str | None = None) -> None:
        """A new row of the promotion log."""
        before = [e for e in self.log.entries(self.project.name) if e.kind == "promotion"]
        number = version or str(len(before) + 1)
        with self.log.locked(self.project.name) as connection:
            entry = {"project": self.project.name, "version": number, "kind": kind, "evidence": {}}
            self.log.append(connection, {**entry, "dagster_run": run})
            connection.commit()

    def told(self) -> list[dg.AssetCheckEvaluation]:
        """All evaluations of the check ``retraining``, oldest first."""
        key = dg.AssetCheckKey(self.key("training_set"), "retraining")
        records = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1000)
        events = [record.event.dagster_event for record in records if record.event]
        return [event.asset_check_evaluation_data for event in events if event][::-1]


def _assets(clock: Clock) -> list[dg.AssetsDefinition]:
    project = clock.project
    features_key = asset_key(project, "features")

    @dg.asset(
        key=features_key,
        partitions_def=partitions_def(project),
        automation_condition=features_condition(project),
    )
    def features() -> None: ...

    @dg.asset(
        key=asset_key(project, "training_set"),
        deps=[dg.AssetDep(features_key, partition_mapping=dg.AllPartitionMapping())],
        automation_condition=retraining_condition(project, clock.url),
    )
    def training_set(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        if clock.breaks == "training_set":
            raise RuntimeError(clock.breaks)
        reason = claim(context, project, clock.url)
        made = FeaturesReader(project).read(context.instance)
        entries = [{"partition": name, "data_version": part.content} for name, part in made.items()]
        manifest = {"partitions": entries[:-1], "held_out": entries[-1]}
        return dg.MaterializeResult(metadata={MANIFEST: manifest, **reason.metadata()})

    @dg.asset(
        key=asset_key(project, "champion"),
        deps=[asset_key(project, "training_set")],
        automation_condition=following_condition(),
    )
    def champion(context: dg.AssetExecutionContext) -> None:
        if clock.breaks == "champion" or not clock.accepts:
            raise RuntimeError("refused")
        latest(context.instance, asset_key(project, "training_set"))
        clock.promote(run=context.run.run_id)

    return [features, training_set, champion]
