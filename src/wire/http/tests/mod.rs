mod body;
mod connection;
mod oracle;
mod request;
mod response;
mod write;
