"""Mistakes in a campaign's file: what is written in YAML and in TOML (`#!` marks the line on which it stands), of which
value it is said, and what (up to a `…`).
"""

from __future__ import annotations

#: Before each of them.
NAME = {"yaml": "name: Spring\n", "toml": 'name = "Spring"\n'}

KEYS = (
    "name, lists, without, accounts, tags, limit, from, until, hours, weight, share-contacts, stop-website, "
    "when-account-off, reply-prefix, no-footer-because, steps"
)
STEP_KEYS = "template, variants, after, calendar-days, quote"
TEMPLATE_KEYS = "name, subject, text, text-file, html, html-file, preheader"
MAKE_LIST = ", or make it: `slowpost lists add NAME`"
WHICH_ACCOUNTS = "; `slowpost accounts list` says which there are"
WRITE_IT = ", or write it here: with name, subject and text"
WHOLE = "is not a whole number"

#: Mistake → YAML, TOML (None: it can't be made there), field, what is said.
MISTAKES: dict[str, tuple[str, str | None, str, str]] = {
    "an unknown key": (
        "limits: 3 #!",
        "limits = 3 #!",
        "limits",
        f"there is no such key (did you mean 'limit'?); allowed: {KEYS}",
    ),
    "a key of nothing known": ("x: 3 #!", "x = 3 #!", "x", f"there is no such key; allowed: {KEYS}"),
    "an underscore": (
        "share_contacts: yes #!",
        "share_contacts = true #!",
        "share_contacts",
        f"there is no such key (did you mean 'share-contacts'?); allowed: {KEYS}",
    ),
    "a key twice": (
        "limit: 3\nlimit: 4 #!",
        None,
        "",
        "the key 'limit' is there twice, on line 2 first",
    ),
    "one list": (
        "lists: dentists #!",
        'lists = "dentists" #!',
        "lists",
        "here one value stands, and a list belongs here, such as [dentists]",
    ),
    "a list in a list": (
        "lists: [[dentists]] #!",
        'lists = [["dentists"]] #!',
        "lists[1]",
        "here a list stands, and one value belongs here",
    ),
    "an unknown list": (
        "lists:\n  - dentists\n  - custommers #!",
        'lists = [\n  "dentists",\n  "custommers", #!\n]',
        "lists[2]",
        f"there is no list 'custommers' (did you mean 'customers'?){MAKE_LIST}",
    ),
    "an unknown id of a list": (
        "lists: [99] #!",
        "lists = [99] #!",
        "lists[1]",
        f"there is no list 99{MAKE_LIST}",
    ),
    "an endless id": (
        f"lists: [{'9' * 5000}] #!",
        f"lists = ['{'9' * 5000}'] #!",
        "lists[1]",
        f"there is no list {'9' * 5000}{MAKE_LIST}",
    ),
    "a list twice": (
        "lists:\n- dentists\n- DENTISTS #!",
        'lists = [\n"dentists",\n"DENTISTS"] #!',
        "lists[2]",
        "it is there twice",
    ),
    "a list in it and excluded": (
        "lists: [dentists]\nwithout: [Dentists] #!",
        'lists = ["dentists"]\nwithout = ["Dentists"] #!',
        "without[1]",
        "the list is both among its lists and excluded",
    ),
    "an unknown account": (
        "accounts: [sale] #!",
        'accounts = ["sale"] #!',
        "accounts[1]",
        f"there is no account 'sale' (did you mean 'sales'?){WHICH_ACCOUNTS}",
    ),
    "a removed account": (
        "accounts: [2] #!",
        "accounts = [2] #!",
        "accounts[1]",
        f"there is no account 2{WHICH_ACCOUNTS}",
    ),
    "a bad tag": (
        "tags: [brand a] #!",
        'tags = ["brand a"] #!',
        "tags[1]",
        "'brand a' is no tag: 1 to 40 letters, digits, dots, underscores and dashes",
    ),
    "a limit in words": (
        "limit: forty #!",
        'limit = "forty" #!',
        "limit",
        f"'forty' {WHOLE} of mails a day, 0 or more",
    ),
    "a limit below 0": ("limit: -1 #!", "limit = -1 #!", "limit", f"'-1' {WHOLE} of mails a day, 0 or more"),
    "half a mail": ("limit: 1.5 #!", "limit = 1.5 #!", "limit", f"'1.5' {WHOLE} of mails a day, 0 or more"),
    "a limit that is a list": (
        "limit: [3] #!",
        "limit = [3] #!",
        "limit",
        "here a list stands, and one value belongs here",
    ),
    "a date of another order": (
        "from: 31.12.2026 #!",
        'from = "31.12.2026" #!',
        "from",
        "'31.12.2026' is no date such as 2026-12-31",
    ),
    "a date that is none": (
        "until: 2026-02-30 #!",
        'until = "2026-02-30" #!',
        "until",
        "'2026-02-30' is no date such as 2026-12-31",
    ),
    "an end before the start": (
        "from: 2026-07-01\nuntil: 2026-06-30 #!",
        "from = 2026-07-01\nuntil = 2026-06-30 #!",
        "until",
        "2026-06-30 is before from, 2026-07-01",
    ),
    "an hour": ("hours: 9 #!", "hours = 9 #!", "hours", "allowed: hours such as 08:00-12:00,13:00-17:00"),
    "an hour that YAML would take for seconds": (
        "hours: 8:30 #!",
        "hours = 08:30:00 #!",
        "hours",
        "allowed: hours such as 08:00-12:00,13:00-17:00",
    ),
    "hours outside the window": (
        "hours: 9-11, 16-18 #!",
        'hours = "9-11, 16-18" #!',
        "hours",
        "16:00-18:00 is not inside the window's, 08:00-17:00",
    ),
    "no weight": ("weight: 0 #!", "weight = 0 #!", "weight", "'0' is not a weight, a whole number from 1 to 1000"),
    "neither yes nor no": (
        "stop-website: perhaps #!",
        'stop-website = "perhaps" #!',
        "stop-website",
        "'perhaps' is neither yes nor no",
    ),
    "an account that is off": (
        "when-account-off: go #!",
        'when-account-off = "go" #!',
        "when-account-off",
        "'go' is none of wait, other, stop",
    ),
    "steps that are no list": (
        "steps: #!\n  template: hello",
        '[steps] #!\ntemplate = "hello"',
        "steps",
        "here a table of keys stands, and a list belongs here, such as - template: hello",
    ),
    "a step that is a word": (
        "steps:\n  - hello #!",
        'steps = ["hello"] #!',
        "steps[1]",
        f"here one value stands, and keys with their values belong here: {STEP_KEYS}",
    ),
    "an unknown key of a step": (
        "steps:\n  - template: hello\n    qoute: yes #!",
        '[[steps]]\ntemplate = "hello"\nqoute = true #!',
        "steps[1].qoute",
        f"there is no such key (did you mean 'quote'?); allowed: {STEP_KEYS}",
    ),
    "a first step after days": (
        "steps:\n  - template: hello\n    after: 3 #!",
        '[[steps]]\ntemplate = "hello"\nafter = 3 #!',
        "steps[1].after",
        "the first step follows nothing: it has neither days after it nor a quote",
    ),
    "a first step that quotes": (
        "steps:\n  - template: hello\n    quote: yes #!",
        '[[steps]]\ntemplate = "hello"\nquote = true #!',
        "steps[1].quote",
        "the first step follows nothing: it has neither days after it nor a quote",
    ),
    "a second step without days": (
        "steps:\n  - template: hello\n  - template: again #!",
        '[[steps]]\ntemplate = "hello"\n[[steps]] #!\ntemplate = "again"',
        "steps[2]",
        "after is missing: how many days after the step before?",
    ),
    "too many days": (
        "steps:\n  - template: hello\n  - template: again\n    after: 366 #!",
        '[[steps]]\ntemplate = "hello"\n[[steps]]\ntemplate = "again"\nafter = 366 #!',
        "steps[2].after",
        f"'366' {WHOLE} of days from 1 to 365",
    ),
    "a step without a template": (
        "steps:\n  - calendar-days: yes #!",
        "[[steps]] #!\ncalendar-days = true",
        "steps[1]",
        "template is missing: what is written?",
    ),
    "a template and variants": (
        "steps:\n  - template: hello\n    variants: [{template: hello}] #!",
        '[[steps]]\ntemplate = "hello"\nvariants = [{template = "hello"}] #!',
        "steps[1].variants",
        "a step has either a template or variants, not both",
    ),
    "no variants": (
        "steps:\n  - variants: [] #!",
        "[[steps]]\nvariants = [] #!",
        "steps[1].variants",
        "a step needs at least one template",
    ),
    "a variant without weight": (
        "steps:\n  - variants:\n    - template: hello\n      weight: 0 #!",
        '[[steps]]\n[[steps.variants]]\ntemplate = "hello"\nweight = 0 #!',
        "steps[1].variants[1].weight",
        "'0' is not a weight, a whole number from 1 to 1000",
    ),
    "a variant twice": (
        "steps:\n  - variants:\n    - template: hello\n    - template: 1 #!",
        '[[steps]]\nvariants = [\n{template = "hello"},\n{template = 1}, #!\n]',
        "steps[1].variants[2].template",
        "it is there twice",
    ),
    "an unknown template": (
        "steps:\n  - template: helo #!",
        '[[steps]]\ntemplate = "helo" #!',
        "steps[1].template",
        f"there is no template 'helo' (did you mean 'hello'?){WRITE_IT}",
    ),
    "an unknown id of a template": (
        "steps:\n  - template: 99 #!",
        "[[steps]]\ntemplate = 99 #!",
        "steps[1].template",
        f"there is no template 99{WRITE_IT}",
    ),
    "a first step that follows": (
        "steps:\n  - template: again #!",
        '[[steps]]\ntemplate = "again" #!',
        "steps[1].template",
        "it has no subject: it is for mails that follow another",
    ),
    "a first step that is written without a subject": (
        "steps:\n  - template: #!\n      name: new\n      text: Hi",
        '[[steps]]\n[steps.template] #!\nname = "new"\ntext = "Hi"',
        "steps[1].template",
        "it has no subject: it is for mails that follow another",
    ),
    "a template without a name": (
        "steps:\n  - template: {subject: Hi, text: Hi} #!",
        '[[steps]]\ntemplate = {subject = "Hi", text = "Hi"} #!',
        "steps[1].template",
        "name is missing: by which a template is found again",
    ),
    "a template without a text": (
        "steps:\n  - template: {name: new, subject: Hi} #!",
        '[[steps]]\ntemplate = {name = "new", subject = "Hi"} #!',
        "steps[1].template",
        "text is missing, or text-file: every mail has a text",
    ),
    "an empty text": (
        "steps:\n  - template: {name: new, subject: Hi, text: ' '} #!",
        '[[steps]]\ntemplate = {name = "new", subject = "Hi", text = " "} #!',
        "steps[1].template.text",
        "it is empty",
    ),
    "an empty subject": (
        "steps:\n  - template: {name: new, subject: '', text: Hi} #!",
        '[[steps]]\ntemplate = {name = "new", subject = "", text = "Hi"} #!',
        "steps[1].template.subject",
        "it is empty (left out: that of the mail before)",
    ),
    "a subject of two lines": (
        'steps:\n  - template: {name: new, subject: "a\\nb", text: Hi} #!',
        '[[steps]]\ntemplate = {name = "new", subject = "a\\nb", text = "Hi"} #!',
        "steps[1].template.subject",
        "it must be one line without NUL",
    ),
    "an unknown key of a template": (
        "steps:\n  - template: {name: new, subject: Hi, text: Hi, htm: x} #!",
        '[[steps]]\ntemplate = {name = "new", subject = "Hi", text = "Hi", htm = "x"} #!',
        "steps[1].template.htm",
        f"there is no such key (did you mean 'html'?); allowed: {TEMPLATE_KEYS}",
    ),
    "a mistake in a text": (
        "steps:\n  - template:\n      name: new\n      subject: Hi\n      text: |\n\n        Dear\n        {{ #!\n",
        '[[steps]]\n[steps.template]\nname = "new"\nsubject = "Hi"\ntext = """\n\nDear\n{{ #!\n"""',
        "steps[1].template.text",
        "unexpected char '#'…",
    ),
    "a mistake in a folded text": (
        'steps:\n  - template:\n      name: new\n      subject: Hi\n      text: "a\\n{%" #!',
        '[[steps]]\n[steps.template]\nname = "new"\nsubject = "Hi"\ntext = "a\\n{%" #!',
        "steps[1].template.text",
        "line 2: …",
    ),
    "a text here and in a file": (
        "steps:\n  - template: {name: new, subject: Hi, text: Hi, text-file: good.txt} #!",
        '[[steps]]\ntemplate = {name = "new", subject = "Hi", text = "Hi", text-file = "good.txt"} #!',
        "steps[1].template.text-file",
        "a template has either text or text-file, not both",
    ),
    "a file that is not there": (
        "steps:\n  - template: {name: new, subject: Hi, text-file: absent.txt} #!",
        '[[steps]]\ntemplate = {name = "new", subject = "Hi", text-file = "absent.txt"} #!',
        "steps[1].template.text-file",
        "absent.txt: there is no such file",
    ),
    "a mistake in a file": (
        "steps:\n  - template: {name: new, subject: Hi, text: Hi, html-file: bad.txt} #!",
        '[[steps]]\ntemplate = {name = "new", subject = "Hi", text = "Hi", html-file = "bad.txt"} #!',
        "steps[1].template.html-file",
        "line 2: …",
    ),
    "a template that is written twice": (
        "steps:\n  - template: {name: n, subject: a, text: a}\n  - after: 1\n    template: {name: n, text: b} #!",
        '[[steps]]\ntemplate = {name = "n", subject = "a", text = "a"}\n[[steps]]\nafter = 1\n'
        'template = {name = "n", text = "b"} #!',
        "steps[2].template.name",
        "it is written twice: the second time its name is enough",
    ),
    "a NUL": (
        'no-footer-because: "a\\0b" #!',
        'no-footer-because = "a\\u0000b" #!',
        "no-footer-because",
        "it has a NUL character",
    ),
    "half a character": (
        'no-footer-because: "a\\uD83D" #!',
        None,
        "no-footer-because",
        "it has half a character, which is no text (a surrogate)",
    ),
    "a text that YAML takes for a map": (
        "no-footer-because: {a} #!",
        None,
        "no-footer-because",
        'here a table of keys stands, and one value belongs here (a text with ": " in it, or with { at its start, '
        "stands in quotes)",
    ),
    "a tab": ("lists:\n\t- dentists #!", None, "", "it is no YAML: found character '\\t' that cannot start any token…"),
}
#: The same of the name, before which nothing stands.
OF_NAME: dict[str, tuple[str, str | None, str, str]] = {
    "no name": ("limit: 3", "limit = 3", "name", "it is missing: a campaign needs a name"),
    "an empty name": ("name:", None, "name", "it is missing: a campaign needs a name"),
    "a name of digits": (
        "\nname: 2026 #!",
        "\nname = 2026 #!",
        "name",
        "'2026' is no name of a campaign, which has 1 to 100 printable characters, not only digits",
    ),
    "nothing": ("", "", "name", "it is missing: a campaign needs a name"),
    "a list of campaigns": (
        "- name: Spring",
        None,
        "",
        f"here a list stands, and keys with their values belong here: {KEYS}",
    ),
    "a word": ("Spring", None, "", f"here one value stands, and keys with their values belong here: {KEYS}"),
}
