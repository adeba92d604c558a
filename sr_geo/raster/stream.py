"""The stream: one thread reads, the calling one runs the network (the only heavy step), one finishes and stores.

One tile waits between each two, so that memory does not depend on the size of the raster.
"""

import queue
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import ModelError
from sr_geo.grid import Window
from sr_geo.models.session import Upscaler
from sr_geo.radiometry import Float, Mask
from sr_geo.raster.options import Progress, Report
from sr_geo.raster.scene import Scene
from sr_geo.raster.spool import Spool
from sr_geo.raster.tiles import Prepared, TilePlanning, finish, prepare
from sr_geo.raster.workers import PATIENCE, Workers

_END = None


@dataclass(frozen=True, slots=True)
class _Tile:
    """A tile on its way: `fine` is there after the network."""

    index: int
    ready: Prepared
    stored: NDArray[Any]
    valid: Mask
    fine: Float | None = None


@dataclass(slots=True)
class Stream:
    """The tiles of one run from the scene into the spool.

    Args:
        scene: the input; the reader opens its own.
        upscaler: the network.
        planning: what happens to every tile.
        spool: where finished tiles go; those that it holds are not computed again.
        workers: threads of the run; their context must outlive this.
    """

    scene: Scene
    upscaler: Upscaler
    planning: TilePlanning
    spool: Spool
    workers: Workers
    _read: "queue.Queue[_Tile | None]" = field(default_factory=lambda: queue.Queue(1))
    _computed: "queue.Queue[_Tile | None]" = field(default_factory=lambda: queue.Queue(1))

    def run(self, wanted: list[int], progress: Report) -> None:
        """Compute the tiles of these numbers, in this order; the first failure of any thread is raised here."""
        missing = [index for index in wanted if index not in self.spool.done]
        stored = self.workers.start(self._finisher)
        self.workers.start(lambda: self._reader(missing))
        self._network(len(wanted), len(missing), progress)
        stored.wait()
        self.workers.check()

    def _network(self, total: int, missing: int, progress: Report) -> None:
        sigma = [self.planning.bands[position].sigma for position in self.planning.inputs] if self.upscaler.card.sigma else None
        bands = [position for position, band in enumerate(self.planning.bands) if band.way in ("network", "guided")]
        started = time.monotonic()
        for count in range(missing):
            tile = self._get(self._read)
            if tile is None:
                return
            # Beyond the edge of a swath are whole tiles of nothing: no pixel there depends on what the network says.
            fine = self._enhanced(tile, sigma) if tile.valid[bands].any() else self._nothing(tile)
            self._put(self._computed, replace(tile, fine=fine))
            del tile, fine  # the next ones are made before these names would be taken again
            left = (time.monotonic() - started) / (count + 1) * (missing - count - 1)
            progress(Progress("enhance", total - missing + count + 1, total, left))
        self._put(self._computed, _END)

    def _enhanced(self, tile: _Tile, sigma: list[float] | None) -> Float:
        """The network's result in physical values, whatever it measures them in."""
        standard = self.planning.standard
        if standard is None:
            return _checked_run(self.upscaler, tile.ready.channels, sigma)
        return standard.undo(_checked_run(self.upscaler, standard.apply(tile.ready.channels), sigma))

    def _nothing(self, tile: _Tile) -> Float:
        """A result for a tile without data, in the shape of the network's."""
        channels, height, width = tile.ready.channels.shape
        scale = self.planning.card.scale
        return np.zeros((channels, height * scale, width * scale), np.float32)

    def _reader(self, missing: list[int]) -> None:
        with self.scene.clone() as scene:
            for index in missing:
                if not self._put(self._read, _Tile(index, *read_tile(scene, self.spool.layout.plan[index], self.planning))):
                    return

    def _finisher(self) -> None:
        while (tile := self._get(self._computed)) is not None:
            if tile.fine is not None:
                self.spool.put(tile.index, finish(tile.ready, tile.fine, tile.stored, tile.valid, self.planning))
            del tile

    def _put(self, target: "queue.Queue[_Tile | None]", item: _Tile | None) -> bool:
        """Put; false where the run is stopped meanwhile."""
        while not self.workers.stop.is_set():
            try:
                target.put(item, timeout=PATIENCE)
            except queue.Full:
                continue
            return True
        return False

    def _get(self, source: "queue.Queue[_Tile | None]") -> _Tile | None:
        """Get; None where the run is stopped or at its end."""
        while not self.workers.stop.is_set():
            try:
                return source.get(timeout=PATIENCE)
            except queue.Empty:
                continue
        return None


def _checked_run(upscaler: Upscaler, image: Float, sigma: list[float] | None) -> Float:
    """What the network makes of `image`.

    Raises:
        ModelError: it cannot be run, or is not what its card says.
    """
    card = upscaler.card
    try:
        fine = upscaler.run(image, sigma=sigma)
    except Exception as error:  # ONNX Runtime raises a class of its own for each cause, without a common public base
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"model {card.name}: cannot be run on {image.shape[1]} × {image.shape[2]} pixels ({reason}); export it again"
        ) from error
    expected = (len(card.bands), image.shape[1] * card.scale, image.shape[2] * card.scale)
    if fine.shape != expected:
        raise ModelError(f"model {card.name}: gave {fine.shape} where its card promises {expected}; export it again")
    return fine


def read_tile(scene: Scene, tile: Window, planning: TilePlanning) -> tuple[Prepared, NDArray[Any], Mask]:
    """Physical values with halo, without holes, and the stored values and validity of the tile itself.

    Where there are holes, twice the halo is read: all fillings that a valid pixel depends on are then the same
    whatever the tiling.
    """
    bands = [band.index for band in planning.bands]
    halo = planning.halo
    stored, valid = scene.read(tile.padded(halo), bands)
    inner = (slice(None), slice(halo, halo + tile.height), slice(halo, halo + tile.width))
    own = stored[inner].copy(), valid[inner].copy()
    if valid.all():
        return prepare(stored, valid, planning), *own
    return prepare(*scene.read(tile.padded(2 * halo), bands), planning).inner(halo), *own
