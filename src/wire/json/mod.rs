//! stub
pub mod string {
    pub fn push_quoted(out: &mut Vec<u8>, t: &[u8]) {
        out.push(b'"');
        out.extend_from_slice(t);
        out.push(b'"');
    }
}
