//! What was done to keep a budget, in a line.

use super::words::{duration, human};
use crate::profile::{Budget, BudgetStage, Recorded};

/// `Budget 3 %: blocks recorded in full for 12 s, sampled at 512.0 KiB for 48 s; overhead 2.1 % on average, at most 2.9 %
/// in any second.`
pub(super) fn line(budget: &Budget) -> String {
    let stages: Vec<String> = budget.stages.iter().map(stage).collect();
    let done = stages.join(", ");
    let (max, average, most) = (budget.max_share * 100.0, budget.average_share * 100.0, budget.most_share * 100.0);
    format!("Budget {max} %: {done}; overhead {average:.1} % on average, at most {most:.1} % in any second.")
}

fn stage(stage: &BudgetStage) -> String {
    let time = duration(stage.seconds);
    match stage.blocks {
        Recorded::All => format!("all blocks recorded for {time}"),
        Recorded::Sampled => format!("sampled at {} for {time}", human(stage.interval_bytes.into())),
        Recorded::Pulses => format!("in pulses for {time} ({} of it recorded)", duration(stage.recorded_seconds)),
        Recorded::None => format!("only mappings recorded for {time} (the allocators' probes alone cost too much)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_record_is_told_with_its_time() {
        let stage = |blocks, interval_bytes, seconds| {
            let recorded_seconds = if blocks == Recorded::Pulses { 0.4 } else { seconds };
            BudgetStage { blocks, interval_bytes, seconds, recorded_seconds }
        };
        let stages = vec![
            stage(Recorded::All, 0, 12.0),
            stage(Recorded::Sampled, 512 << 10, 48.0),
            stage(Recorded::Pulses, 0, 20.0),
            stage(Recorded::None, 0, 0.5),
        ];
        let budget = Budget { max_share: 0.03, average_share: 0.021, most_share: 0.029, stages, pulses: None };
        assert_eq!(
            line(&budget),
            "Budget 3 %: all blocks recorded for 12 s, sampled at 512.0 KiB for 48 s, in pulses for 20 s (0.40 s of it \
             recorded), only mappings recorded for 0.50 s (the allocators' probes alone cost too much); overhead 2.1 % \
             on average, at most 2.9 % in any second."
        );
        assert_eq!(budget.blocks_ended_after(), Some(80.0));
        assert_eq!(budget.coarsest(), Some(512 << 10));
    }
}
