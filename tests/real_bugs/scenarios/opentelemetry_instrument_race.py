"""Threads that ask an OpenTelemetry meter for the same instrument."""

from opentelemetry.sdk.metrics import MeterProvider

from harness import LeakBound, Simulation, scenario


@scenario(under_test=("opentelemetry",))
def same_instrument_for_everybody(sim: Simulation) -> None:
    """Threads create the counter of one name at once: each gets it, and it is the same."""
    meter = MeterProvider(shutdown_on_exit=False).get_meter("shop")

    with sim.storm(LeakBound()) as storm:
        storm.spawn(meter.create_counter, "requests", copies=2, name="caller")

    first, second = storm.results()
    assert first is second
