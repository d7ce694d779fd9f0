"""Every fault, in the order of the report."""

from collections.abc import Awaitable, Callable

from tests.faults import injected, machine, network, processes
from tests.faults.run import Fault, Run
from tests.faults.stack import Shape

Act = Callable[[Run], Awaitable[None]]

TWO_OF_EACH = Shape(replicas=2)
PROXIED = Shape(proxied=True)

# What a producer waits for on a connection whose other end is gone ends after that; the default is two minutes.
LOST_SOON = Shape(proxied=True, settings={"STUCK_AFTER_SECONDS": "30"})

# A consumption that stands still for so long is stuck; the default of two minutes would only make the run longer.
SOON_STUCK = Shape(proxied=True, settings={"STUCK_AFTER_SECONDS": "10"})

# Room for what the run writes, several times, and small enough to be filled in a second.
SMALL_DISK = {"mongod": 300, "kafka": 150}

FAULTS = (
    Fault(
        name="kill-services",
        how="kill -9 of ingest, matcher and notifier at random moments, each again once it is back",
        act=processes.kill_services,
        bound=120,
        seconds=(8, 600),
        ci=True,
    ),
    Fault(
        name="kill-broker",
        how="kill -9 of the only broker at random moments, started again at once",
        act=processes.kill_broker,
        bound=60,
        seconds=(6, 90),
    ),
    Fault(
        name="kill-one-of-three",
        how="kill -9 of each of three brokers in turn, started again after a few seconds",
        act=processes.kill_one_of_three,
        bound=60,
        seconds=(8, 60),
        shape=Shape(brokers=3),
    ),
    Fault(
        name="pause-broker",
        how="SIGSTOP of the broker for 30 s, then SIGCONT",
        act=processes.pause_broker,
        bound=120,
        seconds=(8, 30),
    ),
    Fault(
        name="pause-services",
        how="SIGSTOP of one of two replicas of each service for 5 s more than its session, then SIGCONT",
        act=processes.pause_services,
        bound=60,
        seconds=(15, 45),
        shape=TWO_OF_EACH,
    ),
    Fault(
        name="kill-mongod",
        how="kill -9 of mongod at random moments, started again at once",
        act=processes.kill_mongod,
        bound=60,
        seconds=(6, 80),
    ),
    Fault(
        name="pause-mongod",
        how="SIGSTOP of mongod for 30 s, then SIGCONT",
        act=processes.pause_mongod,
        bound=120,
        seconds=(8, 30),
    ),
    Fault(
        name="step-down",
        how="step-down and kill -9, in turn, of the primary of a replica set of three",
        act=processes.step_down,
        bound=120,
        seconds=(10, 120),
        shape=Shape(mongods=3),
    ),
    Fault(
        name="cut",
        how="a proxy between each two parts breaks their connections and refuses new ones, one pair after another",
        act=network.cut,
        bound=180,
        seconds=(12, 60),
        shape=PROXIED,
        ci=True,
    ),
    Fault(
        name="latency",
        how="a proxy between each two parts delays all that is said, one pair after another",
        act=network.slow_down,
        bound=60,
        seconds=(12, 90),
        shape=PROXIED,
    ),
    Fault(
        name="half-open",
        how="a proxy between each two parts swallows what is said; connections that were open stay so for ever",
        act=network.half_open,
        bound=120,
        seconds=(12, 80),
        shape=LOST_SOON,
    ),
    Fault(
        name="disk-full-mongod",
        how="the file system of mongod is filled to the last byte for a while",
        act=machine.fill_disk_of_mongod,
        bound=60,
        seconds=(8, 60),
        shape=Shape(disks=SMALL_DISK),
    ),
    Fault(
        name="disk-full-broker",
        how="the file system of the broker is filled to the last byte for a while",
        act=machine.fill_disk_of_broker,
        bound=60,
        seconds=(8, 60),
        shape=Shape(disks=SMALL_DISK),
    ),
    Fault(
        name="clock",
        how="the clock of each service is set 1 h ahead, right, 1 h back, right (libfaketime)",
        act=machine.set_clocks,
        # libfaketime takes a lock for each look at a clock: services with threads are several times as slow under it,
        # and have a backlog to work off.
        bound=180,
        seconds=(20, 90),
        shape=Shape(clocks=True),
    ),
    Fault(
        name="copies",
        how="every record on every topic that a service reads is followed by a copy of itself",
        act=injected.copy_everything,
        bound=60,
        seconds=(4, 20),
        ci=True,
    ),
    Fault(
        name="read-again",
        how="matcher and notifier are set back to the beginning of all topics while needs flow",
        act=injected.read_again,
        bound=60,
        seconds=(20, 90),
    ),
    Fault(
        name="out-of-order",
        how="all events of the story in any order: erasures before what they erase, newer states before older ones",
        before=injected.take_out_of_order,
        act=injected.put_out_of_order,
        bound=60,
        seconds=(0, 0),
    ),
    Fault(
        name="poison",
        how="records that nobody can read, of each sort on each topic, at least 1 % of the stream",
        act=injected.poison_topics,
        bound=60,
        seconds=(4, 30),
    ),
    Fault(
        name="backlog",
        how="matcher and notifier start on 100,000 events (short form: 5,000) that wait for them",
        before=injected.pile_up,
        act=injected.start_on_backlog,
        bound=180,
        seconds=(2, 10),
    ),
    Fault(
        name="receivers",
        how="four receivers take 30 s, answer 500, close, redirect to a private address; all but the last mend",
        act=injected.spoil_receivers,
        bound=180,
        seconds=(4, 30),
        shape=Shape(hooks=("a", "b", *injected.MOODS)),
    ),
    Fault(
        name="rebalance-storm",
        how="each 5 s a second replica of each service joins, or leaves in order or by kill -9",
        act=processes.rebalance_storm,
        bound=60,
        seconds=(10, 120),
        ci=True,
    ),
    Fault(
        name="terminate",
        how="SIGTERM of each service at random moments; each must stop in order",
        act=processes.terminate,
        bound=30,
        seconds=(6, 80),
    ),
    Fault(
        name="rolling-restart",
        how="each of two replicas of each service is restarted in turn, under load",
        act=processes.rolling_restart,
        bound=60,
        seconds=(15, 60),
        shape=TWO_OF_EACH,
    ),
    Fault(
        name="silent-consumer",
        how="a heartbeat is answered with an unknown error: the client reads no more, the watchdog ends the process",
        act=injected.break_heartbeats,
        bound=60,
        seconds=(30, 60),
        shape=SOON_STUCK,
    ),
)
