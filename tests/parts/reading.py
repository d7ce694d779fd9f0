"""Read a whole topic, as it is now."""

from aiokafka import AIOKafkaConsumer, ConsumerRecord


async def read_whole(bootstrap: str, topic: str) -> list[ConsumerRecord]:
    """Return its records, in the order of each partition."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found: list[ConsumerRecord] = []
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            found += [record for batch in (await consumer.getmany(timeout_ms=200)).values() for record in batch]
    finally:
        await consumer.stop()
    return found
