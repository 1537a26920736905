//! Peers to compare with: nginx and haproxy, each configured as its documentation advises for streams behind one core.

use std::net::SocketAddr;

/// nginx: one worker, keep-alive to the upstream, no buffering of streams.
#[must_use]
pub fn nginx(listen: SocketAddr, upstream: SocketAddr, folder: &str, access_log: bool) -> String {
    let log = if access_log { format!("{folder}/access.log") } else { "off".into() };
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16384; }}
http {{
    access_log {log};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_timeout 300s;
    keepalive_requests 100000000;
    upstream model {{
        server {upstream};
        keepalive 4096;
        keepalive_requests 100000000;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"
    )
}

/// haproxy: one thread, connections to the upstream always reused, no waiting to gather bytes.
#[must_use]
pub fn haproxy(listen: SocketAddr, upstream: SocketAddr, access_log: bool) -> String {
    let (target, option) = if access_log {
        ("    log stdout format raw local0\n", "    log global\n    option httplog\n")
    } else {
        ("", "")
    };
    format!(
        "global
    nbthread 1
    maxconn 16384
{target}
defaults
    mode http
{option}    http-reuse always
    option http-no-delay
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s

frontend clients
    bind {listen} backlog 4096
    default_backend model

backend model
    server model {upstream}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_name_both_ends_and_the_log() {
        let (listen, upstream) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let text = nginx(listen, upstream, "/f", true);
        for part in ["listen 127.0.0.1:1 ", "server 127.0.0.1:2;", "access_log /f/access.log;", "proxy_buffering off"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(nginx(listen, upstream, "/f", false).contains("access_log off;"));
        assert!(haproxy(listen, upstream, true).contains("option httplog"));
        assert!(!haproxy(listen, upstream, false).contains("httplog"));
    }
}
