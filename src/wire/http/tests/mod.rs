mod body;
mod connection;
mod oracle;
mod refusal;
mod request;
mod response;
mod write;
