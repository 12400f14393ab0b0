#!/bin/bash
# Samba's own endpoint mapper on a loopback address, from nothing.
#   samba-peer.sh start DIR IP [s3|s4]   s3 (default): samba-dcerpcd + rpcd_epmapper, standalone role
#                                        s4: AD DC, the 'samba' binary's own mapper (plus KDC, LDAP)
#   samba-peer.sh stop DIR
#   samba-peer.sh services DIR [HELPER=]PORT...   what was started there and stopped, now without its mapper;
#                                        s3: the helper listens on that port, s4: only waits for the ports
# Needs the distribution's packages samba, smbclient (and samba-ad-provision,
# samba-dsdb-modules and samba-vfs-modules for s4), and root for
# ports below 1024.  Everything private lies under DIR.  On start it prints one line:
#   ready IP:135 pid=PID kind=KIND user=USER password=PASSWORD domain=DOMAIN realm=REALM
# Environment: PEER_WORKERS (s3: number of mapper worker processes, default Samba's own, 1),
#              PEER_IDLE (s3: seconds before an idle worker exits, default Samba's own, 10),
#              PEER_OPTS (more 'name = value' lines for the global section, separated by ;)
set -u
PW='Passw0rd.1'
usage() { sed -n '2,15p' "$0" >&2; exit 2; }

listening() { # IP PORT
	(exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}

wait_port() { # IP PORT SECONDS PID
	local i
	for ((i = 0; i < $3 * 10; i++)); do
		kill -0 "$4" 2>/dev/null || return 1
		listening "$1" "$2" && return 0
		sleep 0.1
	done
	return 1
}

common_conf() { # DIR IP
	cat <<-EOF
	[global]
	 interfaces = $2/8
	 bind interfaces only = yes
	 private dir = $1/private
	 lock directory = $1/lock
	 state directory = $1/state
	 cache directory = $1/cache
	 pid directory = $1/pid
	 ncalrpc dir = $1/ncalrpc
	 binddns dir = $1/bind-dns
	 ntp signd socket directory = $1/ntp
	 winbindd socket directory = $1/wb
	 log file = $1/log/log
	 log level = 1
	 disable netbios = yes
	 load printers = no
	EOF
	[ -n "${PEER_OPTS:-}" ] && tr ';' '\n' <<<"$PEER_OPTS" | sed 's/^ */ /'
	return 0
}

libexec() { # the folder of samba-dcerpcd and its helpers
	local d
	for d in /usr/libexec/samba /usr/lib/samba /usr/lib/*/samba; do
		[ -x "$d/samba-dcerpcd" ] && echo "$d" && return
	done
	echo "samba-dcerpcd not found" >&2
	exit 1
}

start() {
	local dir=$1 ip=$2 kind=${3:-s3} pid
	mkdir -p "$dir" || exit 1
	dir=$(cd "$dir" && pwd -P) || exit 1
	if [ -s "$dir/peer.pid" ] && kill -0 "$(cat "$dir/peer.pid")" 2>/dev/null; then
		echo "already running: pid $(cat "$dir/peer.pid")" >&2
		exit 1
	fi
	if listening "$ip" 135; then
		echo "$ip:135 is taken" >&2
		exit 1
	fi
	mkdir -p "$dir"/{private,lock,state,cache,pid,ncalrpc,bind-dns,ntp,log,cli}
	chmod 755 "$dir" "$dir/ncalrpc"
	case $kind in
	s3)
		{
			common_conf "$dir" "$ip"
			cat <<-EOF
			 workgroup = PEER
			 netbios name = PEER
			 server role = standalone server
			 rpc start on demand helpers = no
			 disable spoolss = yes
			EOF
			[ -n "${PEER_WORKERS:-}" ] && echo " rpcd_epmapper:num_workers = $PEER_WORKERS"
			[ -n "${PEER_IDLE:-}" ] && echo " rpcd_epmapper:idle_seconds = $PEER_IDLE"
		} >"$dir/smb.conf"
		cp "$dir/smb.conf" "$dir/client.conf"
		printf '%s\n%s\n' "$PW" "$PW" | smbpasswd -c "$dir/smb.conf" -s -a daemon >"$dir/log/user" 2>&1 ||
			{ cat "$dir/log/user" >&2; exit 1; }
		setsid "$(libexec)/samba-dcerpcd" -F --no-process-group --libexec-rpcds -s "$dir/smb.conf" \
			>"$dir/log/out" 2>&1 </dev/null &
		pid=$!
		set -- daemon PEER PEER.TEST
		;;
	s4)
		if [ ! -e "$dir/private/sam.ldb" ]; then
			rm -rf "$dir/private" "$dir/state" "$dir/etc"
			samba-tool domain provision --realm=DC.TEST --domain=DCTEST --server-role=dc \
				--adminpass="$PW" --host-name=dcpeer --host-ip="$ip" --targetdir="$dir" \
				--dns-backend=NONE --option="interfaces = $ip/8" \
				--option="bind interfaces only = yes" >"$dir/log/provision" 2>&1 ||
				{ tail -n 20 "$dir/log/provision" >&2; exit 1; }
		fi
		{
			common_conf "$dir" "$ip" | sed "s#lock directory = .*#lock directory = $dir#"
			cat <<-EOF
			 workgroup = DCTEST
			 netbios name = DCPEER
			 realm = DC.TEST
			 server role = active directory domain controller
			 server services = rpc, ldap, kdc
			EOF
		} >"$dir/smb.conf"
		cat >"$dir/krb5.conf" <<-EOF
		[libdefaults]
		 default_realm = DC.TEST
		 dns_lookup_realm = false
		 dns_lookup_kdc = false
		[realms]
		 DC.TEST = {
		  kdc = $ip
		 }
		[domain_realm]
		 .dc.test = DC.TEST
		EOF
		cat >"$dir/client.conf" <<-EOF
		[global]
		 workgroup = DCTEST
		 realm = DC.TEST
		 private dir = $dir/cli
		 lock directory = $dir/cli
		 state directory = $dir/cli
		 cache directory = $dir/cli
		 interfaces = 127.0.0.1/8
		EOF
		setsid samba -F --no-process-group -s "$dir/smb.conf" >"$dir/log/out" 2>&1 </dev/null &
		pid=$!
		set -- Administrator DCTEST DC.TEST
		;;
	*) usage ;;
	esac
	echo "$pid" >"$dir/peer.pid"
	echo "$ip $kind" >"$dir/peer.kind"
	if ! wait_port "$ip" 135 60 "$pid"; then
		echo "the mapper did not come up; see $dir/log" >&2
		stop "$dir"
		exit 1
	fi
	# s3 opens 135 before every rpcd_* has told its endpoints: wait until the list stands still
	local last=-1 now i
	for ((i = 0; i < 40; i++)); do
		now=$(rpcclient -s "$dir/client.conf" -U% "ncacn_ip_tcp:${ip}[135]" -c epmlookup 2>/dev/null | grep -c abstract_syntax)
		[ "$now" -gt 0 ] && [ "$now" = "$last" ] && break
		last=$now
		sleep 0.5
	done
	echo "ready $ip:135 pid=$pid kind=$kind entries=$last user=$1 password=$PW domain=$2 realm=$3"
}

# samba-dcerpcd asks its helpers at once and gives out ports in the order of their answers, another one at each
# start.  A helper that names its port gets it: so each runs behind a script that puts the port into its answer.
services() { # DIR [HELPER=]PORT...
	local dir ip kind pid helper port
	dir=$(cd "$1" && pwd -P) && read -r ip kind <"$dir/peer.kind" || exit 1
	shift
	case $kind in
	s3)
		rm -rf "$dir/helpers"
		mkdir "$dir/helpers"
		for helper in "$(libexec)"/rpcd_*; do
			[ "${helper##*/}" = rpcd_epmapper ] && continue
			port=$(printf '%s\n' "$@" | sed -n "s/^${helper##*/}=//p")
			cat >"$dir/helpers/${helper##*/}" <<-EOF
			#!/bin/sh
			case " \$* " in
			*' --list-interfaces '*) $helper "\$@" | sed 's/^ ncacn_ip_tcp:\$/ ncacn_ip_tcp:[$port]/' ;;
			*) exec $helper "\$@" ;;
			esac
			EOF
		done
		chmod 755 "$dir"/helpers/*
		setsid "$(libexec)/samba-dcerpcd" -F --no-process-group -s "$dir/smb.conf" "$dir"/helpers/* \
			>"$dir/log/out" 2>&1 </dev/null &
		pid=$!
		;;
	s4)
		sed -i 's/^ server services.*/&\n dcerpc endpoint servers = -epmapper/' "$dir/smb.conf"
		setsid samba -F --no-process-group -s "$dir/smb.conf" >"$dir/log/out" 2>&1 </dev/null &
		pid=$!
		;;
	esac
	echo "$pid" >"$dir/peer.pid"
	for port; do
		wait_port "$ip" "${port#*=}" 60 "$pid" || { echo "nobody listens on $port; see $dir/log" >&2; stop "$dir"; exit 1; }
	done
	echo "ready $* pid=$pid kind=$kind"
}

stop() {
	local dir=$1 pid i
	[ -s "$dir/peer.pid" ] || { echo "no peer.pid in $dir" >&2; exit 1; }
	pid=$(cat "$dir/peer.pid")
	# the daemon leads its own session (setsid): collect it and its descendants, nothing else
	local all=$pid todo=$pid kids
	while [ -n "$todo" ]; do
		kids=$(for p in $todo; do pgrep -P "$p"; done | tr '\n' ' ')
		todo=${kids// /}
		[ -n "$todo" ] && todo=$kids && all="$all $kids"
	done
	kill "$pid" 2>/dev/null
	for ((i = 0; i < 50; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	for p in $all; do kill "$p" 2>/dev/null; done
	sleep 0.3
	for p in $all; do kill -9 "$p" 2>/dev/null; done
	rm -f "$dir/peer.pid"
	echo stopped
}

case ${1:-} in
start) [ $# -ge 3 ] || usage; start "$2" "$3" "${4:-s3}" ;;
stop) [ $# -eq 2 ] || usage; stop "$2" ;;
services) [ $# -ge 3 ] || usage; shift; services "$@" ;;
*) usage ;;
esac
