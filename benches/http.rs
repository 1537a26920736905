//! Heads and bodies: what each request pays before anything is decided about it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use thinkgate::wire::dialect::route;
use thinkgate::wire::http::write::{
    Credential, DownstreamLine, UpstreamLine, chunk, downstream_response, upstream_request,
};
use thinkgate::wire::http::{AllowList, BodyDecoder, Framing, Method, Version, request, response, slots};

const REQUEST: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nUser-Agent: OpenAI/Python 1.40.0\r\n\
    Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\
    Authorization: Bearer sk-0123456789abcdef0123456789abcdef\r\nConnection: keep-alive\r\n\r\n";

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nDate: Fri, 20 Nov 2026 23:00:00 GMT\r\n\
    Cache-Control: no-cache\r\nServer: uvicorn\r\nTransfer-Encoding: chunked\r\n\r\n";

fn heads(c: &mut Criterion) {
    c.bench_function("request/parse_8_fields", |b| {
        b.iter(|| {
            let mut room = slots();
            black_box(request::parse(black_box(REQUEST), &mut room)).is_ok()
        });
    });
    c.bench_function("request/parse_bare_httparse", |b| {
        b.iter(|| {
            let mut room = slots();
            let mut request = httparse::Request::new(&mut []);
            black_box(request.parse_with_uninit_headers(black_box(REQUEST), &mut room)).is_ok()
        });
    });
    c.bench_function("response/parse_5_fields", |b| {
        b.iter(|| {
            let mut room = slots();
            black_box(response::parse(black_box(RESPONSE), Method::Post, &mut room)).is_ok()
        });
    });
    let mut room = slots();
    let Ok(Some(head)) = request::parse(REQUEST, &mut room) else { return };
    let line = UpstreamLine {
        authority: "127.0.0.1:11434",
        path_prefix: "",
        path_override: None,
        method_override: None,
        credential: Credential::Keep,
        request_id: "0123456789abcdef",
        framing: head.framing,
        extra: &[],
    };
    let mut out = Vec::with_capacity(4096);
    c.bench_function("request/write", |b| {
        b.iter(|| {
            out.clear();
            upstream_request(&mut out, black_box(&head), &line);
        });
    });
    let mut room = slots();
    let Ok(Some(answer)) = response::parse(RESPONSE, Method::Post, &mut room) else { return };
    let allow = AllowList::default();
    let line = DownstreamLine {
        framing: Framing::Chunked,
        stream: true,
        allow: &allow,
        extra: &[("x-request-id", b"0123456789abcdef")],
        keep_alive: true,
        version: Version::Http11,
    };
    c.bench_function("response/write", |b| {
        b.iter(|| {
            out.clear();
            downstream_response(&mut out, black_box(&answer), &line)
        });
    });
    c.bench_function("route/canonical", |b| b.iter(|| route(Method::Post, black_box("/v1/chat/completions"))));
    c.bench_function("route/alias", |b| {
        b.iter(|| route(Method::Post, black_box("/v1/chat/completions/chat/completions")))
    });
}

fn bodies(c: &mut Criterion) {
    let mut stream = Vec::new();
    for _ in 0..64 {
        chunk(&mut stream, &[b'x'; 200]);
    }
    let mut group = c.benchmark_group("body");
    group.throughput(Throughput::Elements(64));
    let mut buf = stream.clone();
    group.bench_function("decode_64_chunks_of_200", |b| {
        b.iter(|| {
            buf.copy_from_slice(&stream);
            BodyDecoder::response(Framing::Chunked).decode_in_place(black_box(&mut buf))
        });
    });
    group.finish();
}

criterion_group!(benches, heads, bodies);
criterion_main!(benches);
