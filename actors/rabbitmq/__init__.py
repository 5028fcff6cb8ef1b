"""RabbitMQ: the broker, its consumers, its queues and exchanges, their migration, and the copies of dead letters.

Nothing outside `actors` imports from here but through `actors.entry`. No stage is known here.
"""
