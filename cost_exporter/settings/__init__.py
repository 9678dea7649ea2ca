"""Settings: what the operator may choose, read from `CALLFARE_*` variables and one YAML file.

A wrong setting raises an error of one line that names the variable or the place in the file, and how to fix it.
"""

from cost_exporter.settings.address import Address, require_safe_address
from cost_exporter.settings.alert_rule import AlertRule
from cost_exporter.settings.budget_rule import BudgetRule
from cost_exporter.settings.config_file import Config, Fee, Revenue, load_config
from cost_exporter.settings.environment import Settings, load_settings
from cost_exporter.settings.kafka_topic import KafkaTopic
from cost_exporter.settings.report_rule import ReportRule
from cost_exporter.settings.tls import TlsFiles

__all__ = [
    "Address",
    "AlertRule",
    "BudgetRule",
    "Config",
    "Fee",
    "KafkaTopic",
    "ReportRule",
    "Revenue",
    "Settings",
    "TlsFiles",
    "load_config",
    "load_settings",
    "require_safe_address",
]
