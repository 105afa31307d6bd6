"""The client room: EventSource against servers that behave, and against those that do not."""
