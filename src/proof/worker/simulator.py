"""The loop of the sandbox's simulator."""

from proof.core.loop import Loop
from proof.ramp.providers.sandbox.simulator import Simulator

# Its delays are whole seconds; a test that waits for it should not wait much longer.
_LOOK_S = 0.2


def simulator_loop(simulator: Simulator) -> Loop:
    """Moves what is due and posts it; any number of workers may run it."""
    return Loop("simulator", simulator.step, _LOOK_S)
