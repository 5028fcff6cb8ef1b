"""Values that settings do not allow."""

from __future__ import annotations

#: Of every setting that is not free text, values that are not allowed.
BAD = {
    "database_url": [
        "mysql://host/name",
        "postgresql://host",
        "sqlite://",
        "sqlite://file/name",
        "postgresql://[/",
        "",
    ],
    "broker_url": [
        "http://x",
        "amqp://",
        "memory",
        "amqp://host;http://x",
        "",
    ],
    "secret_key": ["short", "k" * 44 + ",short"],
    "mail_window_start": ["24", "8:60", "8.5", "eight", ""],
    "mail_window_end": ["-1", "17:5"],
    "mail_window_hours": ["8", "8-", "08:00-12:00,", "8-12;13-17", "8-25"],
    "mail_window_closed_dates": ["25.12.2026", "2026-12-25,", "2026-02-30", "no/such/file", "."],
    "mail_window_holidays": ["Germany", "DE,", "DEU", "D", "NYSE", "__"],
    "mail_window_timezone": ["Europe/Entenhausen", "EST5", ""],
    "mail_window_days": ["mo-fr", "mon-", "mon,,fri", ""],
    "mail_daily_limit": ["abc", "-1", "1.5", "1000001", "inf", ""],
    "mail_min_interval": ["-0.1", "soon", "nan", "inf"],
    "mail_spread": ["maybe", "true", ""],
    "mail_follow_ups_first": ["maybe", "true", ""],
    "mail_jitter": ["0.51", "-0.1", "lots"],
    "mail_max_attempts": ["0", "many"],
    "mail_retry_backoff": ["60,,300", "0", "1m", "-60", ""],
    "mail_dedupe_contact_days": ["-1", "36501", "1.5"],
    "mail_dedupe_website_days": ["-1", "week"],
    "mail_publish_min_priority": ["-1", "10", "high"],
    "mail_health_threshold": ["70", "70%", "-0.1"],
    "mail_health_min_attempts": ["0", "few"],
    "mail_bounce_limit": ["5", "5%", "-0.1"],
    "mail_health_window": ["0", "wide"],
    "mail_ehlo_name": ["mail", "mail..test", "-a.test", "a_b.test", "10.0.0.1", "[10.0.0]", "[::1]", "[IPv6:10.0.0.1]"],
    "mail_ca_file": ["no/such/file.pem", ".", "/dev/null", "\x01"],
    "mail_smtp_timeout": ["0", "inf", "never"],
    "mail_data_timeout": ["0", "nan", "never"],
    "mail_max_lateness": ["-1", "0", "29.9", "never"],
    "mail_unsubscribe_mailto": ["nobody", "a@b.test\nBcc: c@d.test", "<a@b.test>", "ä@b.test"],
    "mail_unsubscribe_url": [
        "http://host/",
        "host/path",
        "https://",
        "https://host/\nX: y",
        "https://host/>",
    ],
    "mail_dns_servers": ["dns.test", "127.0.0.1:0", "127.0.0.1:70000", "9.9.9.9,", "[::1", "[9.9.9.9]:x", "::1:x"],
    "mail_alert_webhook": ["ftp://host/", "host"],
}
#: Of these, whatever is UTF-8 is allowed.
FREE_TEXT = {"mail_postal_address", "mail_alert_command", "database_password", "broker_password"}
