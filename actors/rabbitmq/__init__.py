"""RabbitMQ: the broker, its consumers, its queues and exchanges, their migration, and the copies of dead letters.

Outside `actors`, import it through `actors.entry`. It knows no stage.
"""
