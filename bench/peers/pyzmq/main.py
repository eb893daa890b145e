"""pyzmq, the Python binding of libzmq, used as in its documentation."""

import sys

import echo
import pub_sub
import push_pull
from side import Side

side = Side(sys.argv[1:])
roles = {**push_pull.ROLES, **pub_sub.ROLES, **echo.ROLES}
roles["both"] = echo.both if side.scenario == "latency" else push_pull.both
if side.role not in roles:
    sys.exit(f"unknown role {side.role}")
roles[side.role](side)
