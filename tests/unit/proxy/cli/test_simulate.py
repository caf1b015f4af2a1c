"""The simulated LLM server, as it is asked for; the server itself is run in tests/integration."""

import pytest
from click.testing import CliRunner

from proxy.cli import simulate as module
from proxy.cli.simulate import simulate
from proxy.process.starting import StartError
from runtime.simulator.kinds import Kind
from runtime.simulator.settings import SimulatorSettings


def test_the_simulated_server(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[SimulatorSettings] = []
    monkeypatch.setattr(module, "run_simulator", started.append)
    arguments = ["--port", "9001", "--model", "a", "--model", "b", "--tokens", "7", "--chunk-delay-ms", "2.5"]
    result = CliRunner().invoke(simulate, arguments, env={"SIMULATOR_API_KEY": "k"})
    assert result.exit_code == 0, result.output
    assert started == [SimulatorSettings("127.0.0.1", 9001, ("a", "b"), 7, 2.5, "k")]


def test_the_simulated_server_poses_as_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[SimulatorSettings] = []
    monkeypatch.setattr(module, "run_simulator", started.append)
    assert CliRunner().invoke(simulate, ["--kind", "vllm"]).exit_code == 0
    assert [settings.kind for settings in started] == [Kind.VLLM]
    assert CliRunner().invoke(simulate, ["--kind", "abacus"]).exit_code == 2


def test_a_port_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: SimulatorSettings) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(module, "run_simulator", fail)
    error = CliRunner().invoke(simulate, ["--port", "9001"]).exception
    assert isinstance(error, StartError) and "port 9001 (Address already in use)" in str(error)
