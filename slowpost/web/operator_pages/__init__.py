"""The operator's pages: one file a page, with its views, and its templates in `templates/operator/`.

A page asks `reports`, an action does what `operations` does; neither stores or sends anything itself, and neither asks
who may do it: `access` has done so before.
"""

from slowpost.web.operator_pages import (
    accounts,
    actions,
    backlog,
    campaigns,
    contacts,
    dead,
    in_doubt,
    log,
    now,
    pausing,
    templates,
    timeline,
)

#: All of them; the menu stands in `frame`.
BLUEPRINTS = (
    now.blueprint,
    pausing.blueprint,
    timeline.blueprint,
    accounts.blueprint,
    campaigns.blueprint,
    backlog.blueprint,
    contacts.blueprint,
    dead.blueprint,
    in_doubt.blueprint,
    log.blueprint,
    templates.blueprint,
    actions.blueprint,
)
