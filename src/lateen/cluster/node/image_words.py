"""What events say about pulls, in the kubelet's words. Used by ``container``. Pure."""

from __future__ import annotations

from lateen.cluster.node.seam import Pulled


def pulled(ref: str, how: Pulled) -> str:
    """The message of a Pulled event."""
    times = f"{duration(how.seconds)} ({duration(how.waited)} including waiting)"
    return f'Successfully pulled image "{ref}" in {times}. Image size: {how.size} bytes.'


def duration(seconds: float) -> str:
    """Seconds as Go prints them, cut to milliseconds: 312ms, 1.05s, 2m0.5s."""
    millis = int(seconds * 1000)
    if millis < 1000:
        return f"{millis}ms" if millis else "0s"
    hours, rest = divmod(millis, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    tail = f"{rest // 1000}.{rest % 1000:03}".rstrip("0").rstrip(".") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + tail
