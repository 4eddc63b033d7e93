"""The network and its cameras, in one virtual time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import netsim
from netsim import scenario as scenarios
from netsim.camera_port import CameraPort
from netsim.tls import certificates, keys
from omvsim.engine import Stop
from omvsim.errors import UserError
from omvsim.testbed.primes import Primes

if TYPE_CHECKING:
    from omvsim.testbed.camera import Camera

keys.found = Primes()

SECOND = 1_000_000_000
MILLISECOND = 1_000_000


class World:
    """What cameras share. They run in lock-step: whichever is waited for, all go on.

    Times are nanoseconds; 0 was when the first camera was switched on.
    """

    network: netsim.Network  # from the first camera on

    def __init__(self) -> None:
        self.cameras: list[Camera] = []

    def join(
        self,
        camera: Camera,
        capture: Path | None = None,
        capture_limit: int = netsim.CAPTURE_LIMIT,
    ) -> CameraPort:
        """Another camera's port. The network is the one of the first's scenario; of the others'
        `[camera]`, `[[fault]]` and `[[rule]]` hold."""
        if self.cameras:
            port = self.network.join(camera.name, camera.scenario, capture, capture_limit)
        else:
            self.network = netsim.build(camera.scenario, capture, capture_limit)
            port = self.network.camera
        self.cameras.append(camera)
        return port

    def leave(self, camera: Camera) -> None:
        """The network goes with its first camera."""
        self.cameras.remove(camera)
        self.network.leave(camera.port)

    @property
    def scenario(self) -> netsim.Scenario:
        """Whose servers, clients and certificates are the network's."""
        return self.network.scenario

    def camera(self, name: str) -> Camera:
        """The camera of this name. UserError where none has it."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        names = ", ".join(camera.name for camera in self.cameras) or "none"
        raise UserError(f"no camera named {name}: there are {names}")

    @property
    def now(self) -> int:
        """What all cameras that run have reached."""
        running = [camera.time for camera in self.cameras if not camera.halted]
        return min(running or [camera.time for camera in self.cameras], default=0)

    def step(self, until: int) -> dict[Camera, Stop]:
        """Run to `until`, or to the next thing that happens between cameras and network; why each
        camera has come back."""
        deadline = self.network.next_deadline()
        target = until if deadline is None else min(until, deadline)
        cameras = tuple(self.cameras)
        early: dict[Camera, Stop] = {}
        running = [camera for camera in cameras if not camera.halted]
        if len(running) > 1:  # the first that acts reaches the others no sooner
            early = self._doze(running, target)
            wake = min(
                camera.time if camera in early else camera.engine.wake + camera.power_on
                for camera in running
            )
            target = min(target, wake + self.network.lookahead)
        alone = len(cameras) == 1
        stops = {camera: camera.go_on(max(target, camera.time), alone) for camera in cameras}
        stops |= early
        sent = [(at, camera.port, f) for camera in cameras for at, f in camera.sent()]
        for at, port, frame in sorted(sent, key=lambda one: one[0]):
            self.network.receive(frame, at, port)
        self.network.run(max(camera.time for camera in running or cameras))
        for camera in cameras:
            camera.hear()
        for camera, stop in stops.items():
            camera.note(stop)
        return stops

    def _doze(self, cameras: list[Camera], target: int) -> dict[Camera, Stop]:
        """Run cameras while they sleep; what one of them has come back for."""
        engines = [(camera.engine, camera.power_on) for camera in cameras]
        told = engines[0][0].doze(engines, target, self.network.lookahead)
        if told is None or told[1] is Stop.HOST:
            return {}
        engine, stop = told
        [camera] = [camera for camera in cameras if camera.engine is engine]
        camera.read()
        return {camera: stop}

    def content(self, file: scenarios.File) -> bytes:
        """What a file of the scenario's [camera.files] kind holds."""
        return certificates.content(self.scenario, file)

    def extend(self, table: Literal["server", "client"], /, **keys: Any) -> None:
        """Put another server or client into the network: keys of its table in a scenario."""
        self.network.extend(self.scenario.with_one(table, **keys))

    def certify(self, name: str, file: Path, key_file: Path | None) -> None:
        """Let a certificate of the host be known to the network as `name`."""
        key = str(key_file.resolve()) if key_file else None
        made = scenarios.CertificateOptions(file=str(file.resolve()), key_file=key)
        known = {**self.scenario.certificates, name: made}
        self.network.extend(replace(self.scenario, certificates=known, outside=True))
