"""What counts as a sign of life."""

from runwright.operator.pulse import Beat, Stream


def test_a_beat_is_late_after_its_limit() -> None:
    beat = Beat(100.0, 0.0)
    assert beat.late(100.0) is None
    assert beat.late(101.0) == 101.0
    beat.beat(101.0)
    assert beat.late(150.0) is None


def test_bytes_keep_a_stream_alive() -> None:
    stream = Stream(Beat(100.0, 0.0))
    for now in range(0, 1000, 60):
        stream.received(now)
        assert stream.beat.late(now + 59) is None


def test_a_server_that_only_accepts_reconnects_is_silent() -> None:
    stream = Stream(Beat(100.0, 0.0))
    for now in range(0, 700, 70):
        stream.opened(now)
    assert stream.beat.late(700.0) == 700.0


def test_a_reconnect_after_life_gives_a_new_period() -> None:
    stream = Stream(Beat(100.0, 0.0))
    stream.opened(0.0)
    stream.received(60.0)
    stream.opened(119.0)
    assert stream.beat.late(179.0) is None
