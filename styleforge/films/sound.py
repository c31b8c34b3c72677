"""A film's sound, copied packet by packet: nothing is decoded, nothing changes but the time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av
    from av.container import InputContainer, OutputContainer


class Voices:
    """All sound streams of a film, on their way into another from a moment on, which becomes 0.

    ``begin`` is in the film's own seconds; packets that begin before it are left out. No original:
    no sound.
    """

    def __init__(
        self, target: OutputContainer, original: InputContainer | None, begin: Fraction
    ) -> None:
        self._target = target
        self._packets: Iterator[tuple[Fraction, av.Packet[Any]]] = iter(())
        self._next: tuple[Fraction, av.Packet[Any]] | None = None
        if original is not None:
            streams = copied_streams(target, original)
            self._packets = _packets_from(begin, original, streams)

    def take(self, until: Fraction | None) -> None:
        """Write the packets that begin before so many seconds; None: all that are left."""
        while (found := self._next or next(self._packets, None)) is not None:
            self._next = found
            seconds, packet = found
            if until is not None and seconds >= until:
                return
            self._target.mux(packet)
            self._next = None


def copied_streams(target: OutputContainer, original: InputContainer) -> Mapping[int, Any]:
    """New streams for the original's sound streams, by their numbers."""
    streams: dict[int, Any] = {}
    for stream in original.streams.audio:
        streams[stream.index] = target.add_stream_from_template(stream)
        if language := stream.metadata.get("language"):
            streams[stream.index].metadata["language"] = language
    return streams


def _packets_from(
    begin: Fraction, original: InputContainer, streams: Mapping[int, Any]
) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    """With the seconds at which they begin, of the new film's; damaged ends end it."""
    import av

    if begin:
        original.seek(int(begin * 1_000_000))
    packets = original.demux([original.streams[index] for index in streams])
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        if packet.pts is None or (begin and packet.pts * packet.time_base < begin):
            continue
        shift = round(begin / packet.time_base)
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        seconds = packet.pts * packet.time_base
        packet.stream = streams[packet.stream.index]
        yield seconds, packet
