import { Component, type ComponentChildren } from "preact";

// Same draws again only when something of what it is made of is another object:
// every state is whole, a storm brings hundreds of messages, and little changes.
export class Same extends Component<{ of: unknown[]; children: () => ComponentChildren }> {
  override shouldComponentUpdate(next: this["props"]) {
    const { of } = this.props;
    return next.of.length !== of.length || next.of.some((x, i) => x !== of[i]);
  }

  override render() {
    return this.props.children();
  }
}
