// What Killswitch sends to Slack, in the words of Slack's own types.
// `build` turns the two exported types into bot/cards/cardstest/blockkit.schema.json.
import type {
  ActionsBlock,
  ContextBlock,
  DividerBlock,
  HeaderBlock,
  InputBlock,
  ModalView,
  RichTextBlock,
  SectionBlock,
} from '@slack/types';

// The blocks that every Slack client draws, old ones too.
type MessageBlock = ActionsBlock | ContextBlock | DividerBlock | HeaderBlock | RichTextBlock | SectionBlock;

// A message always has a fallback text: notifications and screen readers use it.
export interface Message {
  text: string;
  blocks: MessageBlock[];
}

export interface Modal extends Omit<ModalView, 'blocks'> {
  blocks: (MessageBlock | InputBlock)[];
}
