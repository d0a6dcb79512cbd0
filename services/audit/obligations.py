"""Which obligations this installation performs, and by which code.

A permit with a required one outside this set is a deny. `where:what` names the code; what it does stands there.
"""

PERFORMED = {
    "log_disclosure": "services.audit.handlers:Office.authorize",
    "log_decision": "services.audit.handlers:Office.authorize",
    "log_retrieval_79": "services.audit.handlers:Office.authorize",
    "each_view_is_a_disclosure": "services.exchange.handlers:Desk.request",
    "tenant_separation": "shared.eventstore:AgencyStore",
    "purpose_binding_78": "services.exchange.obligations:binding",
    "purpose_binding_65": "services.exchange.obligations:binding",
    "purpose_binding_recipient": "services.exchange.obligations:binding",
    "purpose_binding_consent": "services.exchange.obligations:binding",
    "anonymise_asap": "services.exchange.obligations:binding",
    "erase_after_purpose": "services.exchange.obligations:binding",
    "stop_on_withdrawal": "services.exchange.withdrawal:Withdrawal.carry_out",
    "commit_private_recipient_staff": "services.exchange.obligations:staff_committed",
    "separate_medical_channel": "services.exchange.obligations:has_medical_channel",
    "pseudonymise_first": "services.exchange.obligations:without_identity",
    "feedback_limited": "services.exchange.obligations:limited_feedback",
    "small_cell_check": "services.exchange.obligations:counted_tables",
    "four_eyes_head": "services.exchange.domain.disclosure:Disclosure.confirm",
    "inform_about_recipients": "services.exchange.queries:Exchange.disclosures",
    "inform_in_advance": "services.exchange.queries:Exchange.disclosures",
    "notify_data_subject": "services.exchange.queries:Exchange.disclosures",
    "retention_end_date": "services.audit.handlers:erase_by",
}
