"""What runs are called: flows by two words, tasks by a count."""

import os
from collections.abc import Iterator
from itertools import count

__all__ = ["Counter", "flow_run_name"]

_ADJECTIVE_LINES = (
    "able agile amber ample ancient apt azure bold brave breezy bright brisk bronze calm candid careful cheerful civil "
    "clear clever coastal cobalt cool copper coral cosmic crisp curious daring deep deft eager early earnest easy "
    "elegant even fair famous fast festive fine firm fleet fluent fond frank free fresh gallant gentle gifted glad "
    "golden good graceful grand great green happy hardy hearty helpful honest humble ideal jade jolly keen kind large "
    "late lean light lively loyal lucid lucky magic major mellow merry mighty mild modest neat nimble noble northern "
    "novel olive open opal patient placid plain polite prime proper proud pure quick quiet rapid rare ready regal rich "
    "robust rosy round royal ruby rugged sage sandy serene sharp shiny silent silver simple sincere smart smooth snug "
    "solar solid sound southern spry stable steady stellar still stout strong sunny sure swift tender tidy topaz true "
    "trusty upbeat useful valiant vast vivid warm western whole wide wild windy wise witty worthy young zesty"
)
_NOUN_LINES = (
    "albatross alpaca antelope badger barge basalt bay beaver bison boat breeze bridge brook buffalo buoy cabin canal "
    "canoe canyon cape cargo caribou cedar cliff cloud clipper coast cod condor coot coral cove crab crane crate creek "
    "crow current cutter deer delta dhow dock dolphin dove dune eagle eel egret elk elm ember falcon ferry fern field "
    "finch fjord forest fox frigate frog gale galley gannet garden gazelle glacier goose grove gull harbour hare hawk "
    "hazel heron hill horizon ibex ibis inlet island jay jetty junk kayak kelp kestrel kite koala lagoon lake lark "
    "ledger lemur lighthouse linnet lion llama lobster locker lynx magpie mallard manatee maple marlin marsh marten "
    "meadow mole moon moose mooring moth mountain mule narwhal newt oak ocean osprey otter owl oyster panda parcel "
    "pelican penguin pier pike pine plover pond pony port prawn puffin quail quay raft raven reef ridge river robin "
    "salmon schooner sea seal shell ship shore skiff sloop snipe sparrow spruce star stork storm stream sturgeon swan "
    "swift tern tide tiger toad toucan trout tug tuna turtle valley vessel vole voyage walrus wave whale wharf willow "
    "wind wolf wombat wren yacht yak"
)
_ADJECTIVES = _ADJECTIVE_LINES.split()
_NOUNS = _NOUN_LINES.split()


def flow_run_name() -> str:
    """Return a name for a flow run: `brave-otter`. Names are for people and may repeat; ids do not."""
    number = int.from_bytes(os.urandom(4), "big")
    rest, adjective = divmod(number, len(_ADJECTIVES))
    return f"{_ADJECTIVES[adjective]}-{_NOUNS[rest % len(_NOUNS)]}"


class Counter:
    """Names the task runs of one flow run: `extract-1`, `extract-2`, ..."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, Iterator[int]] = {}

    def name(self, task_name: str) -> str:
        """Return the next name for a run of a task; safe to call from any thread."""
        counts = self._counts.get(task_name)
        if counts is None:
            counts = self._counts.setdefault(task_name, count(1))  # one step: of two threads, one sets it
        return f"{task_name}-{next(counts)}"
