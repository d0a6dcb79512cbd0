-- A database per service and, for each, a role that may add facts and never change them.
--
--     psql -v ON_ERROR_STOP=1 -f deploy/postgres/roles.sql postgresql://postgres@host/postgres
--
-- Run by a superuser: once before the first migration, and again after every migration, since rights to change a row
-- are given table by table. Running it again changes nothing else. Afterwards each role gets its password, or its
-- certificate, in the way of the house; without one it cannot sign in over a network.
--
--   handschlag_owner      owns the tables and runs `handschlag migrate`; no service signs in as it
--   handschlag_<service>  SELECT and INSERT; UPDATE and DELETE only where a table is not a record of facts
--   handschlag_retention  deletes from the audit log what is due by contracts/law/retention.yaml, and cannot add to it
--
-- What stays append-only: the events of every service, and what the audit log proves (leaf, node, checkpoint,
-- cosignature). A service that is broken into can therefore add, but can neither rewrite nor empty these, nor drop
-- their triggers, because it does not own them. Whoever is handschlag_owner or a superuser can; that shows against the
-- tree heads which others keep.

\set QUIET on
select 'create role handschlag_owner login' where not exists (select from pg_roles where rolname = 'handschlag_owner') \gexec

\set service consent
\ir service_role.sql
\set service cases
\ir service_role.sql
\set service health
\ir service_role.sql
\set service exchange
\ir service_role.sql
\set service audit
\ir service_role.sql
\set service gateway
\ir service_role.sql
\ir audit_log.sql
