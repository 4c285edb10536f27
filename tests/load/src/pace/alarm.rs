//! Waiting until a moment. tokio's timers ring up to a millisecond late, which a message that is answered within
//! one would show as its own; a timer of the kernel rings within some hundredths.

use anyhow::Context as _;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until};

#[derive(Debug)]
pub(super) enum Alarm {
    /// A timer, which is read as a pipe is: it has octets when it has rung.
    Kernel(pipe::Receiver),
    /// Goes by a clock that may stand still.
    Runtime,
}

impl Alarm {
    pub(super) fn kernel() -> anyhow::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )
        .context("no timer")?;
        Ok(Self::Kernel(pipe::Receiver::from_owned_fd_unchecked(timer)?))
    }

    /// At once where the moment is over.
    pub(super) async fn until(&mut self, moment: Instant) -> anyhow::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let Self::Kernel(timer) = self else {
            sleep_until(moment).await;
            return Ok(());
        };
        timerfd_settime(timer.as_fd(), TimerfdTimerFlags::empty(), &once(left))?;
        let mut times = [0; 8];
        loop {
            timer.readable().await?;
            match timer.try_read(&mut times) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                rung => return rung.map(drop).context("the timer cannot be read"),
            }
        }
    }
}

fn once(after: Duration) -> Itimerspec {
    Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: Timespec {
            tv_sec: after.as_secs().cast_signed(),
            tv_nsec: after.subsec_nanos().into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_at_its_moment_and_not_before_again_and_again() {
        let mut alarm = Alarm::kernel().unwrap();
        for millis in [3, 1, 0, 7] {
            let moment = Instant::now() + Duration::from_millis(millis);
            alarm.until(moment).await.unwrap();
            assert!(Instant::now() >= moment);
        }
    }
}
