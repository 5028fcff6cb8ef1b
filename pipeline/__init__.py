"""What happens to a contact, stage by stage. Knows no broker: a stage is a function from ids to handoffs (`flow`).

The route, in order; each stage commits before it hands on, and can be run twice:

1. `select_contacts`   contact ids become deliveries
2. `check_duplicates`  nobody is written twice
3. `render_message`    a delivery gets its words (`template`); it is `ready` then, and waits in the database
4. `reserve_slot`      the head of the backlog gets an account and a minute; `standing` reads how everything
                       stands, `throttle` decides (pure), `window` knows the hours (pure)
5. `deliver_message`   `identity` and `message` make the bytes, `smtp_client` speaks, `claim` gives the right to send
                       the final dot, `smtp_reply` judges the answer (the one table), `outcome` writes what follows
6. `record_outcome`    counts what people see, checks `health`, and triggers stage 4

Beside the route: `faults` (what an exception means), `sweep` (what was lost goes back), `eligible` (whom the batch
publisher picks), `hold` and `decisions` (what a person does), `people` (forgetting), `imports` and `fields` (what a
person brings), `lookup`, `address`, `secrets`, `settings`, `logs`.
"""
