# Source this: installs and starts what the tests of the server use (Debian or Ubuntu, as root), and ends it at exit.
# PostgreSQL on a temporary folder, its URL in CCF_LLM_POSTGRES; Chromium for the page.

service_packages=()
ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || service_packages+=(postgresql)
command -v chromium > /dev/null || service_packages+=(chromium)
if [ ${#service_packages[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${service_packages[@]}"
fi

pg_bin=$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb | sort -V | tail -1)")
pg_folder=$(mktemp -d /tmp/ccf-llm-postgres-XXXXXX)
chown postgres "$pg_folder"
as_postgres() { su postgres -s /bin/bash -c "$1"; }
as_postgres "'$pg_bin/initdb' -D '$pg_folder/data' --auth=trust --encoding=UTF8 --locale=C.UTF-8 > '$pg_folder/log'"
# No TCP port that could be taken: a socket in the folder.
as_postgres "'$pg_bin/pg_ctl' -D '$pg_folder/data' -w -l '$pg_folder/log' -o \"-c listen_addresses='' -k '$pg_folder'\" start > /dev/null"
as_postgres "'$pg_bin/createdb' -h '$pg_folder' ccf_llm"
export CCF_LLM_POSTGRES="postgresql+psycopg://postgres@/ccf_llm?host=$pg_folder"
stop_services() { as_postgres "'$pg_bin/pg_ctl' -D '$pg_folder/data' -m immediate stop > /dev/null" || true; rm -rf "$pg_folder"; }
trap stop_services EXIT
