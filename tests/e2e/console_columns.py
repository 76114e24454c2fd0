"""The columns of PgBouncer 1.26's console, in its order: what scripts and exporters rely on.

From PgBouncer's documentation of its admin console, and of SUSPEND's and FDS's time from 1.25's.
Ours may follow, never stand between."""

_CONNECTION = (
    "type user database replication state addr port local_addr local_port connect_time request_time"
    " wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id"
)
_SOCKET = _CONNECTION + " recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail"

_SHOWN = {
    "active_sockets": _SOCKET,
    "clients": _CONNECTION,
    "config": "key value default changeable",
    "databases": "name host port database force_user pool_size min_pool_size reserve_pool_size"
    " server_lifetime pool_mode load_balance_hosts max_connections current_connections"
    " max_client_connections current_client_connections paused disabled",
    "dns_hosts": "hostname ttl addrs",
    "dns_zones": "zonename serial count",
    "fds": "fd task user database addr port cancel link client_encoding std_strings datestyle"
    " timezone password scram_client_key scram_server_key",
    "lists": "list items",
    "mem": "name size used free memtotal",
    "peer_pools": "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login",
    "peers": "peer_id host port pool_size",
    "pools": "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req"
    " sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait"
    " maxwait_us pool_mode load_balance_hosts",
    "servers": _CONNECTION,
    "sockets": _SOCKET,
    "state": "key value",
    "stats": "database total_server_assignment_count total_xact_count total_query_count"
    " total_received total_sent total_xact_time total_query_time total_wait_time"
    " total_client_parse_count total_server_parse_count total_bind_count total_client_login_count"
    " avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time"
    " avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count"
    " avg_client_login_count",
    "stats_averages": "database server_assignment_count xact_count query_count bytes_received"
    " bytes_sent xact_time query_time wait_time avg_client_parse_count avg_server_parse_count"
    " avg_bind_count avg_client_login_count",
    "stats_totals": "database server_assignment_count xact_count query_count bytes_received"
    " bytes_sent xact_time query_time wait_time client_parse_count server_parse_count bind_count"
    " client_login_count",
    "totals": "name value",
    "users": "name pool_size reserve_pool_size pool_mode max_user_connections current_connections"
    " max_user_client_connections current_client_connections",
    "version": "version",
}

COLUMNS = {what: names.split() for what, names in _SHOWN.items()}

# Those that may have no rows at all in a pooler that works.
MAY_BE_EMPTY = ("dns_hosts", "dns_zones", "fds", "peer_pools", "peers")

# The rows of LISTS and of TOTALS, in order; those of STATE.
LISTS = (
    "databases users peers pools peer_pools free_clients used_clients login_clients free_servers"
    " used_servers dns_names dns_zones dns_queries dns_pending"
).split()

_COUNTED = (
    "server_assignment_count xact_count query_count client_bytes server_bytes xact_time query_time"
    " wait_time ps_client_parse_count ps_server_parse_count ps_bind_count client_login_count"
).split()

TOTALS = [f"{prefix}_{name}" for prefix in ("total", "avg") for name in _COUNTED]

STATES = ["active", "paused", "suspended"]
