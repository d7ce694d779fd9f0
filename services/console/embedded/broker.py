"""A broker that speaks Kafka, without a JVM: the cluster in memory that librdkafka brings for its own tests.

`python -m services.console.embedded.broker [--data DIR]` prints {"bootstrap": "127.0.0.1:PORT"} when it is ready and
runs until SIGTERM or SIGINT. What it holds is gone when it ends.

It creates a topic, with 4 partitions, when one is first asked for; there is no request that creates one. It keeps the
newest 5 MB or 100,000 records of a partition, never compacts, and serves one member of each consumer group.
"""

import argparse
import json
import secrets
import signal
from pathlib import Path

from confluent_kafka import Producer

ANSWER_WITHIN = 10.0  # seconds; it takes 20 ms

# Cluster ids remembered; about 30 bytes each, and far more starts than one data folder sees.
IDS_KEPT = 10_000


class MemoryBroker:
    """One broker in this process, on a loopback port that the system chooses.

    Services recognise a new log by its cluster id, which librdkafka derives from a memory address: without address
    randomisation (containers and debuggers turn it off) every start would get the same one. So a cluster whose id is in
    `used` is set aside for another at another address.

    Args:
        used: cluster ids that this broker must not have.

    Attributes:
        bootstrap: its address, `host:port`.
        cluster_id: its id.
    """

    def __init__(self, used: frozenset[str] = frozenset()) -> None:
        set_aside: list[object] = []
        while True:
            # The servers named are replaced by the cluster's own; it tells so at level 5.
            self._producer = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 3})
            cluster = self._producer.list_topics(timeout=ANSWER_WITHIN)
            broker = next(iter(cluster.brokers.values()))
            self.bootstrap = f"{broker.host}:{broker.port}"
            self.cluster_id = str(cluster.cluster_id)
            if self.cluster_id not in used:
                return
            # Blocks of many sizes, about 3 MB on average, move the next cluster to an address drawn by chance.
            blocks = [bytes(1024 + secrets.randbelow(1024)) for _ in range(secrets.randbelow(4096))]
            set_aside.append((self._producer, blocks))


def start_remembered(folder: Path) -> MemoryBroker:
    """A broker whose cluster id is none that was ever given in this folder, where ids are remembered."""
    memory = folder / "cluster-ids"
    used = memory.read_text().split() if memory.exists() else []
    broker = MemoryBroker(frozenset(used))
    folder.mkdir(parents=True, exist_ok=True)
    fresh = memory.with_suffix(".new")
    fresh.write_text("\n".join([*used, broker.cluster_id][-IDS_KEPT:]) + "\n")
    fresh.replace(memory)
    return broker


def main() -> None:
    """Runs the broker until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Run a Kafka broker in memory.")
    parser.add_argument("--data", type=Path, help="folder that remembers cluster ids, so that none is given twice")
    folder: Path | None = parser.parse_args().data
    # Before the broker's threads start, which inherit it: only sigwait may take these signals.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    broker = start_remembered(folder) if folder else MemoryBroker()
    print(json.dumps({"bootstrap": broker.bootstrap}), flush=True)
    signal.sigwait(ends)


if __name__ == "__main__":
    main()
