-- One service: its database, its role and what that may do. Included by roles.sql, which names the :service.

\set role 'handschlag_' :service
\set database :role
\connect postgres

select format('create role %I login', :'role')
where not exists (select from pg_roles where rolname = :'role') \gexec
select format('create database %I owner handschlag_owner', :'database')
where not exists (select from pg_database where datname = :'database') \gexec
alter database :"database" owner to handschlag_owner;
revoke all on database :"database" from public;
grant connect on database :"database" to :"role";

\connect :database
revoke all on schema public from public;
alter schema public owner to handschlag_owner;
grant usage on schema public to :"role";

-- What the next migration makes may be read and added to at once; more is given below when this is run again.
alter default privileges for role handschlag_owner in schema public grant select, insert on tables to :"role";
alter default privileges for role handschlag_owner in schema public grant usage, select on sequences to :"role";
grant select, insert on all tables in schema public to :"role";
grant usage, select on all sequences in schema public to :"role";
revoke update, delete, truncate, references, trigger on all tables in schema public from :"role";
revoke insert on all tables in schema public from public;

select format('grant update, delete on %I to %I', tablename, :'role')
from pg_tables
where schemaname = 'public'
and tablename not in ('events', 'leaf', 'node', 'checkpoint', 'cosignature', 'alembic_version') \gexec

-- A day of the inbox is dropped by emptying its partition.
select format('grant truncate on %I to %I', tablename, :'role')
from pg_tables
where schemaname = 'public'
and tablename ~ '^inbox_slot_\d\d$' \gexec
