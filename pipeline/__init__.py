"""What happens to a contact, stage by stage. Knows no broker: a stage is a function from ids to handoffs (`flow`).

The route, in order. Each stage is a verb; it commits before it hands on, and can be run twice:

1. `select_contacts.select`    contact ids become deliveries
2. `check_duplicates.clear`    nobody is written to twice
3. `render_message.render`     a delivery gets its words; it is `ready` then, and waits in the database
4. `reserve_slot.reserve`      the head of the backlog gets an account and a minute
5. `deliver_message.deliver`   the mail is sent, by the right of a claim at the dot
6. `record_outcome.record`     what people are shown is counted, health is checked, and stage 4 is triggered

Beside the route, `sweep` puts back what was lost. The rooms, from the top down; imports run down only:

    inbound                                   what comes back by mail
    reports  operations                       what people see, and what they do
    the stages, sweep
    delivery  watch                           the claim, the outcome, the mails before; who lives, what is wrong
    accounts  campaigns                       login, health, alerts; who is enrolled, what is due for whom
    capacity                                  a snapshot of accounts and backlog
    rules  smtp                               may this person be written to; the dialogue
    throttle  content                         pure: who is next and when; words and bytes
    runtime                                   settings, logs, faults, waiting
    flow                                      stages and handoffs
"""
