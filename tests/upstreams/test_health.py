"""The health of an upstream, sign by sign, on a clock that stands still."""

from __future__ import annotations

import pytest

from llmgate.config import HealthSettings
from llmgate.daemon.upstreams.base import HealthState
from llmgate.daemon.upstreams.health import ALIVE, BEGUN, Health, HealthRules, Kind, Sign, sign_of, usable
from llmgate.errors import (
    LLMGateError,
    UpstreamCut,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)

SETTINGS = HealthSettings(interval=10, timeout=4, failures=3, backoff_max=60)
ERROR, SILENT, UNREACHABLE, FORBIDDEN, LIMITED, UNFIT = (
    Sign(kind, kind.name)
    for kind in (Kind.ERROR, Kind.SILENT, Kind.UNREACHABLE, Kind.FORBIDDEN, Kind.LIMITED, Kind.UNFIT)
)


REJECTED, ANNS, BOBS = (Sign(Kind.REJECTED, "error 500", owner=owner) for owner in ("", "ann", "bob"))


class Patient:
    """One upstream's health, told sign by sign."""

    def __init__(self) -> None:
        self.rules = HealthRules(SETTINGS, lambda: 1.0)
        self.now = 1000.0
        self.health = Health()

    def probed(self, *signs: Sign, heard_at: float = 0.0) -> HealthState:
        """Each sign is seen when its probe is due."""
        for sign in signs:
            self.now = max(self.now, self.health.next_probe)
            self.health = self.rules.probed(self.health, sign, self.now, heard_at)
        return self.health.state

    def served(self, *signs: Sign, deaf: bool = False) -> HealthState:
        for sign in signs:
            self.health = self.rules.served(self.health, sign, self.now, deaf=deaf)
        return self.health.state

    @property
    def pause(self) -> float:
        return self.health.next_probe - self.now


@pytest.fixture
def patient() -> Patient:
    """A healthy one."""
    made = Patient()
    made.probed(ALIVE)
    return made


def test_a_good_first_probe_makes_it_healthy() -> None:
    assert Patient().probed(ALIVE) is HealthState.HEALTHY


def test_a_failed_first_probe_takes_it_out_at_once() -> None:
    assert Patient().probed(UNREACHABLE) is HealthState.OFFLINE


def test_only_states_in_which_it_works_are_usable() -> None:
    assert {state for state in HealthState if usable(state)} == {
        HealthState.HEALTHY,
        HealthState.DEGRADED,
        HealthState.RECOVERING,
    }


@pytest.mark.parametrize(
    ("sign", "out"),
    [(UNREACHABLE, HealthState.OFFLINE), (SILENT, HealthState.OFFLINE), (ERROR, HealthState.UNHEALTHY)],
)
def test_failures_in_a_row_take_it_out(patient: Patient, sign: Sign, out: HealthState) -> None:
    assert patient.probed(sign) is HealthState.DEGRADED
    assert patient.probed(sign) is HealthState.DEGRADED
    assert patient.probed(sign) is out


@pytest.mark.parametrize(
    ("sign", "out"),
    [(UNREACHABLE, HealthState.OFFLINE), (SILENT, HealthState.OFFLINE), (ERROR, HealthState.UNHEALTHY)],
)
def test_failed_requests_take_it_out_without_a_probe(patient: Patient, sign: Sign, out: HealthState) -> None:
    assert patient.served(sign, sign) is HealthState.DEGRADED
    assert patient.served(sign) is out


def test_a_success_in_between_starts_the_count_anew(patient: Patient) -> None:
    patient.served(ERROR, ERROR)
    assert patient.served(ALIVE) is HealthState.HEALTHY
    assert patient.served(ERROR, ERROR) is HealthState.DEGRADED


def test_good_probes_do_not_excuse_failing_requests(patient: Patient) -> None:
    """A listing that answers says nothing of a dead scheduler."""
    patient.served(ERROR)
    patient.probed(ALIVE)
    patient.served(ERROR)
    assert patient.probed(ALIVE) is HealthState.DEGRADED
    assert patient.served(ERROR) is HealthState.UNHEALTHY


def test_an_old_failed_request_is_forgotten(patient: Patient) -> None:
    patient.served(ERROR)
    patient.now += SETTINGS.backoff_max
    assert patient.probed(ALIVE) is HealthState.HEALTHY


def test_refused_credentials_are_a_matter_of_configuration(patient: Patient) -> None:
    assert patient.probed(FORBIDDEN) is HealthState.MISCONFIGURED
    assert (patient.health.unreached, patient.health.failed) == (0, 0)


def test_something_else_than_configured_is_a_matter_of_configuration(patient: Patient) -> None:
    assert patient.probed(UNFIT) is HealthState.MISCONFIGURED


def test_a_rate_limit_is_no_failure_and_rests_as_long_as_it_says(patient: Patient) -> None:
    assert patient.served(Sign(Kind.LIMITED, "slow down", retry_after=42.0)) is HealthState.RATE_LIMITED
    assert patient.pause == 42.0
    assert patient.health.failed == 0
    assert patient.probed(ALIVE) is HealthState.HEALTHY


def test_a_rate_limit_without_a_time_rests_a_little(patient: Patient) -> None:
    patient.served(LIMITED)
    assert patient.pause == 5.0


def test_a_rate_limit_rests_no_longer_than_a_minute(patient: Patient) -> None:
    patient.served(Sign(Kind.LIMITED, "slow down", retry_after=3600.0))
    assert patient.pause == 60.0


def test_errors_that_one_owner_gets_take_nothing_out(patient: Patient) -> None:
    """It may be what was asked that is at fault."""
    assert patient.served(*[ANNS] * 50) is HealthState.DEGRADED
    assert patient.pause == 1.0
    assert patient.probed(ALIVE) is HealthState.DEGRADED
    assert patient.served(ALIVE) is HealthState.HEALTHY


def test_errors_that_two_owners_get_in_a_row_take_it_out(patient: Patient) -> None:
    assert patient.served(ANNS, BOBS) is HealthState.DEGRADED
    assert patient.served(ANNS) is HealthState.UNHEALTHY


def test_a_success_between_the_errors_of_two_owners_clears_it(patient: Patient) -> None:
    patient.served(ANNS, ANNS, ANNS, ALIVE)
    assert patient.served(BOBS, BOBS, BOBS) is HealthState.DEGRADED


def test_errors_that_one_owner_gets_count_when_a_probe_fails_too(patient: Patient) -> None:
    patient.served(ANNS, ANNS, ANNS)
    assert patient.probed(ERROR) is HealthState.UNHEALTHY


def test_errors_of_unknown_owners_count_as_anybodys(patient: Patient) -> None:
    assert patient.served(REJECTED, REJECTED) is HealthState.DEGRADED
    assert patient.served(REJECTED) is HealthState.UNHEALTHY


@pytest.mark.parametrize("kind", [Kind.UNREACHABLE, Kind.SILENT, Kind.ERROR])
def test_lost_connections_and_silence_count_whoever_asked(patient: Patient, kind: Kind) -> None:
    assert not usable(patient.served(*[Sign(kind, kind.name, owner="ann")] * 3))


def test_errors_that_one_owner_gets_are_no_reason_to_end_the_trial(patient: Patient) -> None:
    patient.probed(UNREACHABLE, UNREACHABLE, UNREACHABLE, ALIVE)
    assert patient.served(ANNS, ANNS) is HealthState.RECOVERING
    assert patient.served(BOBS) is HealthState.UNHEALTHY


def test_an_answer_that_begins_ends_the_trial_and_forgives_nothing(patient: Patient) -> None:
    patient.served(ERROR, ERROR, ERROR)
    patient.probed(ALIVE)
    assert patient.served(BEGUN) is HealthState.DEGRADED
    assert patient.served(ERROR) is HealthState.UNHEALTHY
    patient.probed(ALIVE)
    assert patient.served(BEGUN, ALIVE) is HealthState.HEALTHY


def test_answers_that_begin_and_fail_take_it_out(patient: Patient) -> None:
    assert patient.served(BEGUN, ERROR, BEGUN, ERROR, BEGUN) is HealthState.DEGRADED
    assert patient.served(ERROR) is HealthState.UNHEALTHY


def test_a_slow_probe_degrades_and_a_fast_one_heals(patient: Patient) -> None:
    assert patient.probed(Sign(Kind.ALIVE, seconds=3.0)) is HealthState.DEGRADED
    assert patient.health.reason == "it answers slowly"
    assert patient.served(ALIVE) is HealthState.DEGRADED
    assert patient.probed(ALIVE) is HealthState.HEALTHY


def test_a_probe_without_an_answer_is_only_slow_while_bytes_arrive(patient: Patient) -> None:
    timed_out = Sign(Kind.SILENT, seconds=4.0)
    for _ in range(5):
        assert patient.probed(timed_out, heard_at=patient.health.next_probe - 1.0) is HealthState.DEGRADED


def test_a_hung_upstream_is_noticed_while_requests_wait_for_its_first_byte(patient: Patient) -> None:
    timed_out = Sign(Kind.SILENT, seconds=4.0)
    long_ago = patient.now
    assert patient.probed(timed_out, timed_out, timed_out, heard_at=long_ago) is HealthState.OFFLINE


def test_one_silent_request_is_enough_when_nobody_else_got_a_byte_either(patient: Patient) -> None:
    assert patient.served(SILENT, deaf=True) is HealthState.OFFLINE


def test_probes_of_a_failing_upstream_back_off_up_to_a_bound(patient: Patient) -> None:
    pauses = []
    for _ in range(9):
        patient.probed(UNREACHABLE)
        pauses.append(patient.pause)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_pauses_are_spread(patient: Patient) -> None:
    patient.rules = HealthRules(SETTINGS, lambda: 1.2)
    patient.probed(ALIVE)
    assert patient.pause == pytest.approx(12.0)


@pytest.mark.parametrize("sign", [UNREACHABLE, ERROR, FORBIDDEN, UNFIT])
def test_after_an_outage_it_is_tried_before_it_is_trusted(patient: Patient, sign: Sign) -> None:
    patient.probed(sign, sign, sign)
    assert patient.probed(ALIVE) is HealthState.RECOVERING
    assert patient.served(ALIVE) is HealthState.HEALTHY
    assert patient.health.setbacks == 0


def test_a_failure_while_it_is_tried_takes_it_out_again_for_longer(patient: Patient) -> None:
    patient.served(ERROR, ERROR, ERROR)
    first = patient.pause
    patient.probed(ALIVE)
    assert patient.served(ERROR) is HealthState.UNHEALTHY
    assert patient.pause > first


def test_good_probes_alone_heal_what_only_probes_found_ill(patient: Patient) -> None:
    patient.probed(UNREACHABLE, UNREACHABLE, UNREACHABLE)
    assert patient.probed(ALIVE, ALIVE, ALIVE) is HealthState.RECOVERING
    assert patient.probed(ALIVE) is HealthState.HEALTHY


def test_good_probes_alone_do_not_heal_failing_requests(patient: Patient) -> None:
    patient.served(ERROR, ERROR, ERROR)
    assert patient.probed(*[ALIVE] * 20) is HealthState.RECOVERING


def test_an_answer_that_still_comes_from_an_upstream_taken_out_brings_the_next_probe_forward(
    patient: Patient,
) -> None:
    patient.probed(SILENT, SILENT, SILENT)
    assert patient.served(ALIVE) is HealthState.OFFLINE
    assert patient.pause == 0


def test_late_failures_of_an_upstream_taken_out_are_no_news(patient: Patient) -> None:
    patient.probed(UNREACHABLE, UNREACHABLE, UNREACHABLE)
    before = patient.health
    patient.served(ERROR, SILENT, LIMITED)
    assert patient.health == before


def test_a_healthy_one_that_serves_changes_nothing(patient: Patient) -> None:
    before = patient.health
    patient.served(ALIVE)
    assert patient.health is before


@pytest.mark.parametrize(
    ("failure", "of_a_probe", "of_a_request"),
    [
        (UpstreamUnreachable(), Kind.UNREACHABLE, Kind.UNREACHABLE),
        (UpstreamTimeout(), Kind.SILENT, Kind.SILENT),
        (UpstreamCut(), Kind.ERROR, Kind.ERROR),
        (UpstreamRefused(), Kind.LIMITED, Kind.REJECTED),
        (UpstreamProtocolError(), Kind.UNFIT, Kind.ERROR),
        (UpstreamRejected("no", status=401), Kind.FORBIDDEN, Kind.FORBIDDEN),
        (UpstreamRejected("no", status=403), Kind.FORBIDDEN, Kind.FORBIDDEN),
        (UpstreamRejected("no", status=404), Kind.UNFIT, Kind.ALIVE),
        (UpstreamRejected("no", status=500), Kind.ERROR, Kind.REJECTED),
    ],
)
def test_an_error_is_read_as_a_sign(failure: LLMGateError, of_a_probe: Kind, of_a_request: Kind) -> None:
    assert sign_of(failure, probe=True).kind is of_a_probe
    assert sign_of(failure, probe=False).kind is of_a_request
