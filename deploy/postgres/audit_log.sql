-- The audit log, after the rights that every service has: what may go only when it is due. Included by roles.sql.
--
-- The service audit adds entries and may destroy what opens them (Art. 17 DSGVO); it deletes no entry. The retention
-- role deletes entries and whole years, and only through a door that a trigger holds against the periods; it cannot add
-- an entry, open a door too early, or change the periods, which are written by `handschlag migrate`.

\connect postgres
select 'create role handschlag_retention login' where not exists (select from pg_roles where rolname = 'handschlag_retention') \gexec
grant connect on database handschlag_audit to handschlag_retention;

\connect handschlag_audit
grant usage on schema public to handschlag_retention;
revoke all on all tables in schema public from handschlag_retention;

select format('revoke %s on %I from handschlag_audit', rights, name)
from (values
    ('update, delete', 'entry'), ('update, delete', 'entry_key'), ('delete', 'head'),
    ('update', 'opening'), ('update', 'subject'), ('update', 'erasure'), ('update, delete', 'dropped_log'),
    ('insert', 'dropped_log'), ('insert, update, delete', 'retention_period'),
    ('insert, update, delete', 'retention_door'), ('insert, update, delete', 'retention_mark')
) as wanted(rights, name)
where to_regclass('public.' || name) is not null \gexec

select format('grant %s on %I to handschlag_retention', rights, name)
from (values
    ('select, delete', 'leaf'), ('select, delete', 'node'), ('select, delete', 'checkpoint'), ('select, delete', 'head'),
    ('select, delete', 'entry'), ('select, delete', 'entry_key'), ('select, delete', 'opening'),
    ('select, delete', 'subject'), ('select, delete', 'cosignature'), ('select, delete', 'witness_trouble'),
    ('select, insert', 'erasure'),
    ('select, insert', 'dropped_log'), ('select', 'retention_period'), ('select, insert, delete', 'retention_door'),
    ('select, insert, update, delete', 'retention_mark')
) as wanted(rights, name)
where to_regclass('public.' || name) is not null \gexec
