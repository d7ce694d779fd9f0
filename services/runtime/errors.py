"""The one hierarchy of errors: either trying again cannot help, or it will."""


class MaillageError(Exception):
    """Root of what this project raises on purpose. Messages carry no personal data: they are logged."""


class PermanentError(MaillageError):
    """The same input will fail the same way for ever: tell the sender, let its neighbours flow on."""


class TransientError(MaillageError):
    """Something that should be there is away for now: wait, try again, skip nothing."""


class BrokerUnavailableError(TransientError):
    """The broker did not confirm in time. The event may or may not be in the log: send it again with the same id."""


class RefusedError(TransientError):
    """A server does not let us in, or not do our work. No event is at fault, and waiting does not help: an operator has
    to correct credentials, certificates or rights."""
