//! Mail by an SMTP server.

use std::time::Duration;

use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor};

use super::{Ready, Refusal};
use crate::clock::SharedClock;
use crate::config::{AlertChannel, ChannelPlace, MailTls};

/// For one step of the talk, and for all of it.
const STEP: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether mail can be addressed to this: `name@host` or `Name <name@host>`.
pub(crate) fn is_mail_address(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

pub(super) async fn send(
    config: &AlertChannel,
    ready: &Ready<'_>,
    clock: &SharedClock,
) -> Result<(), Refusal> {
    let ChannelPlace::Email {
        host,
        port,
        tls,
        login,
        from,
        to,
    } = &config.place
    else {
        return Err(Refusal::lasting("this is no mail"));
    };
    let mail = mail(from, to, ready)?;
    let parameters = || {
        let mut builder = TlsParameters::builder(host.clone()).certificate_store(CertificateStore::Default);
        if let Some(ca) = &config.ca {
            let failed = |e: crate::error::Error| Refusal::lasting(e.to_string());
            for certificate in crate::web::certificates(ca).map_err(failed)? {
                let certificate = Certificate::from_der(certificate.to_vec())
                    .map_err(|_| Refusal::lasting(format!("{} cannot be used", ca.display())))?;
                builder = builder.add_root_certificate(certificate);
            }
        }
        builder.build().map_err(|e| Refusal::lasting(format!("TLS: {e}")))
    };
    let tls = match tls {
        MailTls::Tls => Tls::Wrapper(parameters()?),
        MailTls::Starttls => Tls::Required(parameters()?),
        MailTls::None => Tls::None,
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(*port)
        .timeout(Some(STEP))
        .tls(tls);
    if let Some((user, password)) = login {
        transport = transport.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    let transport = transport.build();
    tokio::select! {
        sent = transport.send(mail) => match sent {
            Ok(_) => Ok(()),
            Err(e) => {
                let message = format!("{host}: {}", chain(&e));
                // 5xx: the server does not want this, now or later.
                Err(if e.is_permanent() { Refusal::lasting(message) } else { Refusal::passing(message) })
            }
        },
        () = clock.sleep(PATIENCE) => Err(Refusal::passing(format!("{host} does not answer"))),
    }
}

fn mail(from: &str, to: &[String], ready: &Ready<'_>) -> Result<Mail, Refusal> {
    let mailbox = |text: &str| {
        text.parse::<Mailbox>()
            .map_err(|_| Refusal::lasting("an address of mail cannot be used"))
    };
    let mut builder = Mail::builder().from(mailbox(from)?).subject(&ready.title);
    for address in to {
        builder = builder.to(mailbox(address)?);
    }
    let mut text = ready.text.clone();
    if let Some(page) = ready.page {
        text = format!("{text}\n\n{page}\n");
    }
    let plain = SinglePart::plain(text);
    let whole = match &ready.picture {
        None => builder.singlepart(plain),
        Some(picture) => {
            let kind =
                ContentType::parse("image/jpeg").map_err(|_| Refusal::lasting("no picture can be sent"))?;
            let part = Attachment::new("picture.jpg".into()).body(picture.to_vec(), kind);
            builder.multipart(MultiPart::mixed().singlepart(plain).singlepart(part))
        }
    };
    whole.map_err(|e| Refusal::lasting(format!("a mail cannot be made: {e}")))
}

fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
